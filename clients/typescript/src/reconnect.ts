/** How often and how soon a failed call is retried. */
import { CallError } from "./call-errors.js";

/** How watches and transfers are resumed. Times are in milliseconds. */
export interface Reconnect {
  /** Delays double from this up to `maxDelayMs`; each is scaled by a random factor. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** A stream is broken if nothing arrives for this long; the service sends a checkpoint every 15 s. */
  readonly silenceMs: number;
  /** A watch or download is given up if nothing is received for this long. */
  readonly patienceMs: number;
  /** Returns numbers from 0 to 1. */
  readonly random: () => number;
}

export const RECONNECT: Reconnect = {
  firstDelayMs: 250,
  maxDelayMs: 8_000,
  silenceMs: 60_000,
  patienceMs: 300_000,
  random: Math.random,
};

/** Returns the delay after so many failures in a row: what the service asks for, plus a backoff. */
export function delayMs(reconnect: Reconnect, failures: number, fault: unknown): number {
  const wish = fault instanceof CallError ? (fault.retryAfterMs ?? 0) : 0;
  const doubled = reconnect.firstDelayMs * 2 ** Math.min(failures - 1, 30);
  return Math.min(wish, reconnect.maxDelayMs) + reconnect.random() * Math.min(doubled, reconnect.maxDelayMs);
}

/** Waits; rejects with the signal's reason as soon as the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const wake = () => {
      signal?.removeEventListener("abort", leave);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    const leave = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", leave, { once: true });
  });
}
