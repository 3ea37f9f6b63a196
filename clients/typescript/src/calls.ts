/** Makes unary calls: within a deadline, and again if the service was unavailable. */
import type { CallOptions } from "@connectrpc/connect";

import { type CallError, Unavailable } from "./call-errors.js";
import { delayMs, type Reconnect, sleep } from "./reconnect.js";
import { callError } from "./status.js";

/** Options of a single call. */
export interface Options {
  /** Ends the call, which then rejects with the signal's reason. Never cancels a job. */
  readonly signal?: AbortSignal;
  /** Limits the call, including retries; replaces the client's own `timeoutMs`. */
  readonly timeoutMs?: number;
}

type Method<I, O> = (request: I, options: CallOptions) => Promise<O>;

const ATTEMPTS = 5;
const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 5_000;
const WIRE_MAX_MS = 99_999_999;

export class Calls {
  readonly #timeoutMs: number;
  readonly #backoff: Reconnect;

  constructor(timeoutMs: number, reconnect: Reconnect) {
    this.#timeoutMs = timeoutMs;
    this.#backoff = { ...reconnect, firstDelayMs: FIRST_DELAY_MS, maxDelayMs: MAX_DELAY_MS };
  }

  /**
   * Calls a method, up to five times while the service is unavailable and the deadline is not reached.
   *
   * Use it only for calls that are safe to repeat; all calls of the service are. Throws CallError.
   */
  async call<I, O>(method: Method<I, O>, request: I, options: Options = {}): Promise<O> {
    const { signal } = options;
    const deadline = performance.now() + (options.timeoutMs ?? this.#timeoutMs);
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      // At least 1 ms, since 0 would mean no limit; and at most what the wire format allows.
      const timeoutMs = Math.min(Math.max(1, Math.ceil(deadline - performance.now())), WIRE_MAX_MS);
      let fault: CallError;
      try {
        return await method(request, { timeoutMs, ...(signal && { signal }) });
      } catch (failure) {
        signal?.throwIfAborted();
        fault = callError(failure);
      }
      const delay = delayMs(this.#backoff, attempt, fault);
      if (!(fault instanceof Unavailable) || attempt === ATTEMPTS || performance.now() + delay > deadline) throw fault;
      await sleep(delay, signal);
    }
  }

  /** Yields the answers of a method that lists, one page after the other. Throws CallError. */
  async *pages<I extends { readonly pageToken?: string }, O extends { readonly nextPageToken: string }>(
    method: Method<I, O>,
    request: I,
    options?: Options,
  ): AsyncGenerator<O, void, undefined> {
    for (let pageToken = ""; ; ) {
      const page = await this.call(method, { ...request, pageToken }, options);
      yield page;
      pageToken = page.nextPageToken;
      if (pageToken === "") return;
    }
  }
}
