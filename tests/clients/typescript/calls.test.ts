/** Calls: retries, deadlines, tokens, and the errors that they end with. */
import assert from "node:assert/strict";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { Code, ConnectError } from "@connectrpc/connect";
import * as evergreen from "@evergreen/video";

import { left, scripted, UNAVAILABLE } from "./scripted.js";
import { refusal } from "./refusals.js";

const { WireClient } = evergreen;
const CLIP = { projectId: "p", sceneId: "s", model: "gen4.5" };

test("a call is repeated while the service is unavailable, with one request id", async (t) => {
  const asked: string[] = [];
  const client = await scripted(t, {
    generateVideo: (request) => {
      asked.push(request.requestId);
      if (asked.length < 3) throw UNAVAILABLE();
      return { job: { jobId: "job-1" } };
    },
  });

  const job = await client.generate(CLIP);

  assert.equal(job.jobId, "job-1");
  assert.equal(asked.length, 3);
  assert.equal(new Set(asked).size, 1);
  assert.match(asked[0]!, /^[0-9a-f-]{36}$/);
});

test("nothing but unavailability is tried again, and that five times at most", async (t) => {
  let full = 0;
  let down = 0;
  const client = await scripted(t, {
    getStatus: () => {
      full += 1;
      throw refusal(Code.ResourceExhausted, { reason: "QUEUE_FULL" });
    },
    getAccount: () => {
      down += 1;
      throw UNAVAILABLE();
    },
  }, { reconnect: { random: () => 0 } });

  await assert.rejects(client.status("job-1"), evergreen.QueueFull);
  await assert.rejects(client.account(), evergreen.Unavailable);

  assert.deepEqual([full, down], [1, 5]);
});

const KINDS: readonly [string, Code, new (...args: never[]) => Error][] = [
  ["INVALID_REQUEST", Code.InvalidArgument, evergreen.InvalidRequest],
  ["REQUEST_ID_REUSED", Code.AlreadyExists, evergreen.RequestIdReused],
  ["JOB_DELETED", Code.AlreadyExists, evergreen.JobDeleted],
  ["SCENE_UNSUPPORTED", Code.FailedPrecondition, evergreen.SceneUnsupported],
  ["PROJECT_CREDITS_EXCEEDED", Code.FailedPrecondition, evergreen.ProjectCreditsExceeded],
  ["JOB_NOT_FOUND", Code.NotFound, evergreen.JobNotFound],
  ["SCENE_NOT_FOUND", Code.NotFound, evergreen.SceneNotFound],
  ["FILM_NOT_FOUND", Code.NotFound, evergreen.FilmNotFound],
  ["PLAN_NOT_FOUND", Code.NotFound, evergreen.PlanNotFound],
  ["PLAN_CHANGED", Code.Aborted, evergreen.PlanChanged],
  ["PLAN_DELETED", Code.AlreadyExists, evergreen.PlanDeleted],
  ["SCENE_TAKEN", Code.AlreadyExists, evergreen.SceneTaken],
  ["ASSET_NOT_FOUND", Code.NotFound, evergreen.AssetNotFound],
  ["ASSET_EXISTS", Code.AlreadyExists, evergreen.AssetExists],
  ["SCENE_BUSY", Code.FailedPrecondition, evergreen.SceneBusy],
  ["URL_UNSUPPORTED", Code.FailedPrecondition, evergreen.UrlUnsupported],
  ["OBJECT_TOO_LARGE", Code.FailedPrecondition, evergreen.ObjectTooLarge],
  ["TOO_MANY_TRANSFERS", Code.ResourceExhausted, evergreen.TooManyTransfers],
  ["TRANSFER_STALLED", Code.DeadlineExceeded, evergreen.TransferStalled],
  ["NEEDS_RESOLUTION", Code.FailedPrecondition, evergreen.NeedsResolution],
  ["NOT_RESOLVABLE", Code.FailedPrecondition, evergreen.NotResolvable],
  ["PRICE_UNKNOWN", Code.FailedPrecondition, evergreen.PriceUnknown],
  ["CREDITS_EXCEEDED", Code.FailedPrecondition, evergreen.CreditsExceeded],
  ["PROVIDER_TASK_NOT_FOUND", Code.FailedPrecondition, evergreen.ProviderTaskNotFound],
  ["PROVIDER_TASK_TAKEN", Code.FailedPrecondition, evergreen.ProviderTaskTaken],
  ["PROVIDER_UNAUTHORIZED", Code.FailedPrecondition, evergreen.ProviderUnauthorized],
  ["CURSOR_AHEAD", Code.OutOfRange, evergreen.CursorAhead],
  ["CURSOR_COMPACTED", Code.OutOfRange, evergreen.CursorCompacted],
  ["DRAINING", Code.Unavailable, evergreen.Draining],
  ["STORAGE_UNAVAILABLE", Code.Unavailable, evergreen.StorageUnavailable],
  ["PROVIDER_UNAVAILABLE", Code.Unavailable, evergreen.ProviderUnavailable],
  ["QUEUE_FULL", Code.ResourceExhausted, evergreen.QueueFull],
  ["WEBHOOK_NOT_FOUND", Code.NotFound, evergreen.WebhookNotFound],
  ["DELIVERY_NOT_FOUND", Code.NotFound, evergreen.DeliveryNotFound],
  ["WEBHOOKS_OFF", Code.FailedPrecondition, evergreen.WebhooksOff],
  ["WEBHOOK_SWITCHED_OFF", Code.FailedPrecondition, evergreen.WebhookSwitchedOff],
  ["TOO_MANY_WEBHOOKS", Code.ResourceExhausted, evergreen.TooManyWebhooks],
  ["NOT_IMPLEMENTED", Code.Unimplemented, evergreen.NotOffered],
  ["INTERNAL", Code.Internal, evergreen.InternalError],
  ["NEWER_THAN_THIS", Code.FailedPrecondition, evergreen.PreconditionFailed],
  ["NEWER_THAN_THIS", Code.DataLoss, evergreen.CallError],
  ["", Code.Unauthenticated, evergreen.Unauthenticated],
  ["", Code.PermissionDenied, evergreen.PermissionDenied],
];

test("each reason has its own error, which keeps the original", async (t) => {
  const client = await scripted(t, {
    getStatus: ({ jobId }) => {
      const [reason, code] = KINDS[Number(jobId)]!;
      throw refusal(code, reason ? { reason, metadata: { job_id: jobId } } : {});
    },
  }, { reconnect: { random: () => 0 } });

  for (const [index, [reason, code, kind]] of KINDS.entries()) {
    await assert.rejects(client.status(String(index)), (error) => {
      assert.ok(error instanceof evergreen.CallError);
      assert.equal(error.constructor, kind, reason);
      assert.deepEqual([error.reason, error.code], [reason, code]);
      assert.equal(error.metadata["job_id"], reason ? String(index) : undefined);
      assert.ok(error.cause instanceof ConnectError);
      return true;
    });
  }
});

test("an error tells every violation, and when to call again", async (t) => {
  const violations = [{ field: "model", description: "unknown" }, { field: "ratio", description: "missing" }];
  const client = await scripted(t, {
    getStatus: () => {
      throw refusal(Code.InvalidArgument, { reason: "INVALID_REQUEST", violations, retryAfterSeconds: 1.5 });
    },
  });

  await assert.rejects(client.status("x"), { violations, retryAfterMs: 1_500 });
});

test("a call has a deadline, its own or the client's", async (t) => {
  const client = await scripted(t, {
    getStatus: async (_, context) => {
      await left(context);
      return {};
    },
  }, { timeoutMs: 100 });

  await assert.rejects(client.status("x"), evergreen.DeadlineExceeded);
  await assert.rejects(client.status("x", { timeoutMs: 50 }), { code: Code.DeadlineExceeded });
});

test("an aborted call rejects with the signal's reason, also between two tries", async (t) => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const client = await scripted(t, {
    getStatus: () => {
      setImmediate(() => controller.abort(reason));
      throw UNAVAILABLE();
    },
  }, { reconnect: { random: () => 1e6 } });

  await assert.rejects(client.status("x", { signal: controller.signal, timeoutMs: 1e9 }), reason);
  await assert.rejects(client.status("x", { signal: AbortSignal.abort(reason) }), reason);
});

test("the token goes with each call, and is asked for anew", async (t) => {
  const seen: (string | null)[] = [];
  let count = 0;
  const client = await scripted(t, {
    getAccount: (_, context) => {
      seen.push(context.requestHeader.get("authorization"));
      return {};
    },
  }, { token: async () => `secret-${(count += 1)}` });

  await client.account();
  await client.account();

  assert.deepEqual(seen, ["Bearer secret-1", "Bearer secret-2"]);
});

test("a token leaves this machine only encrypted, unless told", () => {
  for (const target of ["films.example:50051", "10.0.0.1:50051", "127.0.0.1.example:1"]) {
    assert.throws(() => new WireClient(target, { token: "t" }), evergreen.InsecureToken);
    new WireClient(target, { token: "t", tls: true }).close();
    new WireClient(target, { token: "t", insecure: true }).close();
  }
  for (const target of ["127.0.0.1:1", "localhost:1", "[::1]:1"]) new WireClient(target, { token: "t" }).close();
});

test("a service that is not there is unavailable", async () => {
  const client = new WireClient("127.0.0.1:1", { reconnect: { random: () => 0 } });

  await assert.rejects(client.account(), evergreen.Unavailable);
});

test("bytes over the limit cannot be sent inline", async () => {
  await assert.rejects(evergreen.inlineMedia(new Uint8Array(evergreen.INLINE_LIMIT + 1)), evergreen.MediaTooLarge);
});

test("a body that a proxy does not take is told in words, and not sent again", async (t) => {
  let asked = 0;
  const proxy = createServer();
  proxy.on("stream", (stream) => {
    asked += 1;
    stream.respond({ ":status": 413 }, { endStream: true });
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const client = new WireClient(`127.0.0.1:${(proxy.address() as AddressInfo).port}`);
  t.after(() => {
    client.close();
    proxy.close();
  });

  await assert.rejects(client.status("a"), (error: evergreen.CallError) => {
    assert.match(error.message, /^a proxy on the way answered HTTP 413: it takes no body as large as this/);
    assert.equal(error.code, Code.Unknown);
    return error instanceof evergreen.CallError;
  });
  assert.equal(asked, 1);
});
