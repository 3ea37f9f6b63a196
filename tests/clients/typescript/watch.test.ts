/** A watch over streams that break, repeat themselves, end too soon or fall silent. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { Code } from "@connectrpc/connect";
import * as evergreen from "@evergreen/video";
import { FilmState, JobState } from "@evergreen/video";
import type { WatchProgressRequest, WatchProgressResponse } from "@evergreen/video/v1/video";

import { refusal } from "./refusals.js";
import { checkpoint, event, filmEvent, left, QUICK, scripted, UNAVAILABLE } from "./scripted.js";

type Step = WatchProgressResponse | Error | "hold";

async function service(t: TestContext, streams: readonly (readonly Step[])[], options: evergreen.ClientOptions = {}) {
  const asked: WatchProgressRequest[] = [];
  let gone = 0;
  const client = await scripted(t, {
    watchProgress: async function* (request, context) {
      asked.push(request);
      for (const step of streams[asked.length - 1] ?? [UNAVAILABLE()]) {
        if (step instanceof Error) throw step;
        if (step === "hold") {
          await left(context);
          gone += 1;
          return;
        }
        yield step;
      }
    },
  }, options);
  return { client, asked, gone: () => gone };
}

async function revisions(messages: AsyncIterable<WatchProgressResponse>): Promise<number[]> {
  const seen: number[] = [];
  for await (const message of messages) seen.push(Number(message.revision));
  return seen;
}

const { RUNNING, SUCCEEDED, QUEUED } = JobState;

test("a watch resumes from its cursor, tells nothing twice and ends on the final state", async (t) => {
  const { client, asked } = await service(t, [
    [event(1, "a", QUEUED), checkpoint(2), UNAVAILABLE()],
    [event(3, "a", RUNNING), refusal(Code.Unavailable, { reason: "DRAINING" })],
    [event(2, "a", QUEUED), event(3, "a", RUNNING), checkpoint(3), event(4, "a", RUNNING)],
    [event(5, "a", SUCCEEDED), event(6, "a", RUNNING)],
  ]);

  const seen = await revisions(client.watch({ jobIds: ["a"] }));

  assert.deepEqual(seen, [1, 2, 3, 3, 4, 5]);
  assert.deepEqual(asked.map((each) => each.afterRevision), [undefined, 2n, 3n, 4n]);
});

test("only jobs not yet final are asked for again, and a final state behind the cursor still counts", async (t) => {
  const { client, asked } = await service(t, [
    [event(1, "a", SUCCEEDED), event(9, "b", RUNNING), UNAVAILABLE()],
    [event(8, "b", SUCCEEDED)],
  ]);

  assert.deepEqual(await revisions(client.watch({ jobIds: ["a", "b"] })), [1, 9, 8]);
  assert.deepEqual(asked.map((each) => each.jobIds), [["a", "b"], ["b"]]);
});

test("an end without a final state is a fault", async (t) => {
  const { client, asked } = await service(t, [[event(1, "a", RUNNING)], [event(2, "a", SUCCEEDED)]]);

  assert.deepEqual(await revisions(client.watch({ jobIds: ["a"] })), [1, 2]);
  assert.equal(asked.length, 2);
});

test("a silent stream is left and opened again", async (t) => {
  const quick = { reconnect: { ...QUICK, silenceMs: 1_000 } };
  const { client, gone } = await service(t, [[event(1, "a", RUNNING), "hold"], [event(2, "a", SUCCEEDED)]], quick);

  assert.deepEqual(await revisions(client.watch({ jobIds: ["a"] })), [1, 2]);
  assert.equal(gone(), 1);
});

test("a watch that cannot be resumed for too long says where to go on", async (t) => {
  const quick = { reconnect: { ...QUICK, patienceMs: 200 } };
  const { client } = await service(t, [[event(7, "a", RUNNING)]], quick);

  await assert.rejects(revisions(client.watch({ jobIds: ["a"] })), (error) => {
    assert.ok(error instanceof evergreen.WatchInterrupted);
    assert.equal(error.revision, 7n);
    assert.ok(error.cause instanceof evergreen.Unavailable);
    return true;
  });
});

test("a lost cursor is told to who watches, and no matter to who waits", async (t) => {
  const lost = refusal(Code.OutOfRange, { reason: "CURSOR_COMPACTED" });
  const { client } = await service(t, [[lost], [event(1, "a", RUNNING), lost], [event(5, "a", SUCCEEDED)]]);

  await assert.rejects(revisions(client.watch({ projectId: "p", afterRevision: 3 })), evergreen.CursorCompacted);
  assert.equal((await client.wait("a")).state, SUCCEEDED);
});

test("a gap is told to who asks for it, and the watch goes on with what is now", async (t) => {
  const lost = refusal(Code.OutOfRange, { reason: "CURSOR_COMPACTED" });
  const { client, asked } = await service(t, [[lost], [event(8, "a", RUNNING), UNAVAILABLE()], [event(9, "a", SUCCEEDED)]]);
  const gaps: string[] = [];

  const seen = await revisions(client.watch({ jobIds: ["a"], afterRevision: 3, onGap: (gap) => gaps.push(gap.reason) }));

  assert.deepEqual([seen, gaps], [[8, 9], ["CURSOR_COMPACTED"]]);
  assert.deepEqual(asked.map((each) => each.afterRevision), [3n, undefined, 8n]);
});

test("a watch of a film ends when the service ends it, and not with an earlier run", async (t) => {
  const { RUNNING: runs, SUCCEEDED: done } = FilmState;
  const { client, asked } = await service(t, [
    [filmEvent(4, "a", runs), filmEvent(5, "a", done), filmEvent(6, "a", runs), UNAVAILABLE()],
    [filmEvent(6, "a", runs), filmEvent(7, "a", done)],
  ]);

  const seen = await revisions(client.watch({ projectId: "p", filmIds: ["a"], afterRevision: 0 }));

  assert.deepEqual(seen, [4, 5, 6, 7]);
  assert.deepEqual(asked.map((each) => [each.filmIds, each.afterRevision]), [[["a"], 0n], [["a"], 6n]]);
});

test("leaving the loop, or aborting, ends the stream", async (t) => {
  const { client, gone } = await service(t, [[event(1, "a", RUNNING), "hold"], [event(1, "a", RUNNING), "hold"]]);
  for await (const _ of client.watch({ jobIds: ["a"] })) break;
  const reason = new Error("enough");
  const controller = new AbortController();

  const watching = client.watch({ jobIds: ["a"] }, { signal: controller.signal });
  await watching.next();
  const waiting = watching.next();
  controller.abort(reason);

  await assert.rejects(waiting, reason);
  while (gone() < 2) await new Promise(setImmediate);
});

test("waiting ends with the error that the job's state stands for", { timeout: 20_000 }, async (t) => {
  const states = [JobState.NEEDS_ATTENTION, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED];
  const { client } = await service(t, states.map((state) => [event(1, "a", state), "hold" as const]));

  for (const kind of [evergreen.NeedsAttention, evergreen.JobFailed, evergreen.JobCancelled, evergreen.JobExpired]) {
    await assert.rejects(client.wait("a"), (error) => error instanceof kind && error.constructor === kind);
  }
});

test("a slow reader gets everything in order", async (t) => {
  const steps = Array.from({ length: 1_000 }, (_, index) => event(index + 1, "a", RUNNING));
  const { client } = await service(t, [[...steps, event(1_001, "a", SUCCEEDED)]]);
  const seen: number[] = [];

  for await (const message of client.watch({ jobIds: ["a"] })) {
    seen.push(Number(message.revision));
    if (seen.length % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  assert.deepEqual(seen, Array.from({ length: 1_001 }, (_, index) => index + 1));
});
