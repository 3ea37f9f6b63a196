/** The client of a page whose calls answer with the messages of the contract: over Connect, which every browser speaks. */
import { Calls } from "../calls.js";
import { Core } from "../core.js";
import { RECONNECT, type Reconnect } from "../reconnect.js";
import { Scenes } from "./scenes.js";
import { connect, type WebConnection, type WebEndpoint } from "./transport.js";

/** What a page has instead of files: what was chosen or dropped, or bytes. */
export type BlobOrBytes = Blob | Uint8Array;

/** Options of a client. */
export interface WebOptions extends WebEndpoint {
  /** Limits each call except watches and transfers, including retries. Default: 30 s. */
  readonly timeoutMs?: number;
  /** How watches are resumed; overrides individual defaults. */
  readonly reconnect?: Partial<Reconnect>;
}

/**
 * Calls one Evergreen gateway, by default that of the page itself.
 *
 * Calls reject with a `CallError`. They are retried while the service is unavailable, since each call is safe to repeat.
 * Over HTTP/1.1 each watch holds one of a browser's six connections to a host.
 */
export class WireClient extends Core<BlobOrBytes> {
  /** Scenes and their files. */
  readonly scenes: Scenes;
  readonly #connection: WebConnection;

  constructor(url = ownOrigin(), options: WebOptions = {}) {
    const reconnect = { ...RECONNECT, ...options.reconnect };
    const connection = connect(url, options);
    const calls = new Calls(options.timeoutMs ?? 30_000, reconnect);
    const scenes = new Scenes(connection.transport, calls, reconnect, connection);
    super(connection.transport, calls, reconnect, { read: readBlob, upload: (source, scene) => scenes.keep(source, scene) });
    this.#connection = connection;
    this.scenes = scenes;
  }

  /** Ends all calls and watches. */
  close(): void {
    this.#connection.close();
  }
}

/** Returns the origin of the page. Throws TypeError where there is no page. */
function ownOrigin(): string {
  const { location } = globalThis as { readonly location?: { readonly origin: string } };
  if (location === undefined) throw new TypeError("this is no page: give the gateway's URL");
  return location.origin;
}

async function readBlob(source: BlobOrBytes, limit: number): Promise<Uint8Array> {
  return source instanceof Uint8Array ? source : new Uint8Array(await source.slice(0, limit).arrayBuffer());
}
