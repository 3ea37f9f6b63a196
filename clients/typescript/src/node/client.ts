/** The client of Node: one connection to the service over HTTP/2. */
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
export class Client extends Core<FileOrBytes> {
  /** Scenes and their files. */
  readonly scenes: Scenes;
  readonly #connection: Connection;

  constructor(target = "127.0.0.1:50051", options: ClientOptions = {}) {
    const reconnect = { ...RECONNECT, ...options.reconnect };
    const connection = connect(target, options);
    const calls = new Calls(options.timeoutMs ?? 30_000, reconnect);
    super(connection.transport, calls, reconnect, readHead);
    this.#connection = connection;
    this.scenes = new Scenes(connection.transport, calls, reconnect);
  }

  /** Closes the connection, and ends all calls and watches that use it. */
  close(): void {
    this.#connection.close();
  }
}
