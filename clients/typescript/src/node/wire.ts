/** The client of Node whose calls answer with the messages of the contract: one connection over HTTP/2. */
import { Calls } from "../calls.js";
import { Core } from "../core.js";
import { type FileOrBytes, readHead } from "./files.js";
import { RECONNECT, type Reconnect } from "../reconnect.js";
import { Scenes } from "./scenes.js";
import { connect, type Connection, type Endpoint } from "./transport.js";

/** Options of a client. */
export interface ClientOptions extends Endpoint {
  /** Limits each call except watches and transfers, including retries. Default: 30 s. */
  readonly timeoutMs?: number;
  /** How watches and transfers are resumed; overrides individual defaults. */
  readonly reconnect?: Partial<Reconnect>;
}

/**
 * Connects to one Evergreen service at `host:port`.
 *
 * Calls reject with a `CallError`. They are retried while the service is unavailable, since each call is safe to repeat.
 * An idle client does not keep the process alive.
 */
export class WireClient extends Core<FileOrBytes> {
  /** Scenes and their files. */
  readonly scenes: Scenes;
  readonly #connection: Connection;
  readonly #timeoutMs: number;

  constructor(target = "127.0.0.1:50051", options: ClientOptions = {}) {
    const reconnect = { ...RECONNECT, ...options.reconnect };
    const connection = connect(target, options);
    const calls = new Calls(options.timeoutMs ?? 30_000, reconnect);
    const scenes = new Scenes(connection.transport, calls, reconnect);
    super(connection.transport, calls, reconnect, { read: readHead, upload: (source, scene) => scenes.keep(source, scene) });
    this.#connection = connection;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.scenes = scenes;
  }

  /** Returns whether the service says that it serves. Is not retried. Rejects with CallError if it gives no answer. */
  async healthy({ timeoutMs = this.#timeoutMs }: { readonly timeoutMs?: number } = {}): Promise<boolean> {
    return this.#connection.healthy(timeoutMs);
  }

  /** Closes the connection, and ends all calls and watches that use it. */
  close(): void {
    this.#connection.close();
  }
}
