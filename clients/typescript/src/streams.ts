/** Reads one stream of the service. It always ends: normally, by an error, by silence, or by the caller's signal. */
import type { CallOptions } from "@connectrpc/connect";

import { StreamBroken } from "./errors.js";
import { callError } from "./status.js";

/** Opens a stream with the signal that will end it. */
export type Open<T> = (options: CallOptions) => AsyncIterable<T>;

/**
 * Yields a stream's messages. Leaving the loop ends the stream at once.
 *
 * Throws CallError, StreamBroken if nothing arrived within `silenceMs` of waiting, and the reason of `signal`.
 */
export async function* receive<T>(
  open: Open<T>,
  silenceMs: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const leave = () => controller.abort();
  signal?.addEventListener("abort", leave, { once: true });
  let silent = false;
  const fallSilent = () => {
    silent = true;
    controller.abort();
  };
  try {
    // A timeout of 0 means none: the duration of a stream is not known.
    const messages = open({ signal: controller.signal, timeoutMs: 0 })[Symbol.asyncIterator]();
    for (;;) {
      const timer = setTimeout(fallSilent, silenceMs);
      const next = await messages.next().finally(() => clearTimeout(timer));
      signal?.throwIfAborted();
      if (next.done) return;
      yield next.value;
    }
  } catch (failure) {
    signal?.throwIfAborted();
    if (silent) throw new StreamBroken(`nothing came for ${silenceMs / 1000} s`, { cause: failure });
    throw callError(failure);
  } finally {
    signal?.removeEventListener("abort", leave);
    controller.abort();
  }
}
