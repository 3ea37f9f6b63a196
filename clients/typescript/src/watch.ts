/**
 * Keeps a watch running over as many streams as needed: resumes from its cursor, and yields nothing twice.
 *
 * A stream counts as broken if the service is unavailable or stops, if nothing arrives for longer than the interval of
 * checkpoints allows, or if it ends although a watched job is not final yet.
 */
import type { CallOptions } from "@connectrpc/connect";

import { CursorCompacted, Draining, QueueFull, Unavailable } from "./call-errors.js";
import { StreamBroken, WatchInterrupted } from "./errors.js";
import type { WatchProgressRequest, WatchProgressResponse } from "./gen/evergreen/v1/video_pb.js";
import { Position } from "./position.js";
import { delayMs, type Reconnect, sleep } from "./reconnect.js";
import { receive } from "./streams.js";

/** Opens one stream of `WatchProgress`. */
export type OpenWatch = (request: WatchProgressRequest, options: CallOptions) => AsyncIterable<WatchProgressResponse>;

/** How a watch is kept running. */
export interface Keeping {
  readonly reconnect: Reconnect;
  readonly signal: AbortSignal | undefined;
  readonly onGap: ((gap: CursorCompacted) => void) | undefined;
}

/**
 * Yields the events and checkpoints of a watch; ends after the final state of all watched jobs and films.
 *
 * Throws CursorCompacted without `onGap`, other CallErrors if reconnecting cannot help, and WatchInterrupted if
 * reconnecting did not succeed for too long.
 */
export async function* resilientWatch(
  open: OpenWatch,
  request: WatchProgressRequest,
  { reconnect, signal, onGap }: Keeping,
): AsyncGenerator<WatchProgressResponse, void, undefined> {
  const position = new Position(request);
  let failures = 0;
  let answeredAt = performance.now();
  for (;;) {
    let fault: unknown;
    const openedAt = performance.now();
    try {
      const next = position.resume();
      for await (const message of receive((options) => open(next, options), reconnect.silenceMs, signal)) {
        answeredAt = performance.now();
        if (!position.isNews(message)) continue;
        if (message.revision !== position.cursor) failures = 0;
        yield message;
        // The caller's own processing time does not count as silence of the service.
        answeredAt = performance.now();
        position.passed(message);
        if (position.complete) return;
      }
      if (position.ends) return;
      fault = new StreamBroken("the stream ended before every watched job was final");
    } catch (error) {
      if (error instanceof CursorCompacted && onGap !== undefined && !position.gap) {
        onGap(error);
        position.skip();
        continue;
      }
      if (!isPassing(error)) throw error;
      fault = error;
    }
    // A stream that delivered something and then ended as planned starts a new count of failures.
    failures = fault instanceof Draining && answeredAt > openedAt ? 1 : failures + 1;
    const delay = delayMs(reconnect, failures, fault);
    if (performance.now() + delay - answeredAt > reconnect.patienceMs) {
      const text = `the watch could not be resumed within ${reconnect.patienceMs / 1000} s: ${fault}`;
      throw new WatchInterrupted(text, position.cursor, fault);
    }
    await sleep(delay, signal);
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof Unavailable || error instanceof QueueFull || error instanceof StreamBroken;
}
