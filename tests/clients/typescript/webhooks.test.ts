/** Webhooks: what reaches the wire, and what is refused before anything is sent. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type WireClient, DeliveryState, WebhookState } from "@evergreen/video";
import {
  type CreateWebhookRequest,
  CreateWebhookRequestSchema,
  type ListDeliveriesRequest,
  ListDeliveriesRequestSchema,
  type RedeliverRequest,
  RedeliverRequestSchema,
  type RotateSecretRequest,
  RotateSecretRequestSchema,
  type UpdateWebhookRequest,
  UpdateWebhookRequestSchema,
  type WebhookService,
} from "@evergreen/video/v1/webhook";

import { scripted, UNAVAILABLE } from "./scripted.js";

const URL = "https://studio.example/hooks";
const WHEN = new Date("2030-01-01T00:00:00Z");

function serving(t: TestContext, methods: Partial<ServiceImpl<typeof WebhookService>>): Promise<WireClient> {
  return scripted(t, {}, {}, {}, methods);
}

test("a webhook keeps its request id over every retry, and has every field", async (t) => {
  const asked: CreateWebhookRequest[] = [];
  const client = await serving(t, {
    createWebhook: (request) => {
      asked.push(request);
      if (asked.length < 3) throw UNAVAILABLE();
      return { webhook: { webhookId: "w" }, secret: "whsec_c2VjcmV0" };
    },
  });

  const made = await client.webhooks.create({ url: URL, projectIds: ["film"] });
  await client.webhooks.create({ url: URL, allProjects: true, types: ["video.*"], labels: { team: "edit" }, description: "d", requestId: "mine" });

  assert.deepEqual([made.webhook?.webhookId, made.secret, made.known], ["w", "whsec_c2VjcmV0", false]);
  assert.deepEqual(asked[0], asked[2]);
  assert.match(asked[0]!.requestId, /^[0-9a-f-]{36}$/);
  const { requestId } = asked[0]!;
  assert.deepEqual(asked[0], create(CreateWebhookRequestSchema, { url: URL, filter: { projectIds: ["film"] }, requestId }));
  const filter = { allProjects: true, types: ["video.*"], labels: { team: "edit" } };
  assert.deepEqual(asked[3], create(CreateWebhookRequestSchema, { url: URL, filter, description: "d", requestId: "mine" }));
});

test("what is not given of a filter stays, and all else is changed without reading before", async (t) => {
  const asked: UpdateWebhookRequest[] = [];
  const present = { projectIds: ["a", "b"], types: ["*"], labels: { take: "1" } };
  let read = 0;
  const client = await serving(t, {
    getWebhook: () => {
      read += 1;
      return { webhook: { webhookId: "w", filter: present } };
    },
    updateWebhook: (request) => {
      asked.push(request);
      return { webhook: { webhookId: "w" } };
    },
  });

  const webhookId = "w";
  await client.webhooks.update({ webhookId, types: ["film.*"] });
  await client.webhooks.update({ webhookId, allProjects: true });
  await client.webhooks.update({ webhookId, projectIds: ["c"], labels: {} });
  await client.webhooks.update({ webhookId, state: WebhookState.PAUSED });
  await client.webhooks.update({ webhookId, url: URL, description: "" });

  const { labels, types } = present;
  assert.deepEqual(asked, [
    create(UpdateWebhookRequestSchema, { webhookId, filter: { ...present, types: ["film.*"] } }),
    create(UpdateWebhookRequestSchema, { webhookId, filter: { allProjects: true, types, labels } }),
    create(UpdateWebhookRequestSchema, { webhookId, filter: { projectIds: ["c"], types } }),
    create(UpdateWebhookRequestSchema, { webhookId, state: WebhookState.PAUSED }),
    create(UpdateWebhookRequestSchema, { webhookId, url: URL, description: "" }),
  ]);
  assert.equal(read, 3);
});

test("webhooks and deliveries are listed page by page", async (t) => {
  const asked: ListDeliveriesRequest[] = [];
  const client = await serving(t, {
    listWebhooks: ({ pageToken, projectId }) =>
      pageToken === "" ? { webhooks: [{ webhookId: `${projectId}-a` }], nextPageToken: "n" } : { webhooks: [{ webhookId: "b" }] },
    listDeliveries: (request) => {
      asked.push(request);
      return request.pageToken === "" ? { deliveries: [{ messageId: "m" }], nextPageToken: "n" } : { deliveries: [{ messageId: "l" }] };
    },
  });

  const found: string[] = [];
  for await (const { webhookId } of client.webhooks.list({ projectId: "p" })) found.push(webhookId);
  const states = [DeliveryState.GIVEN_UP];
  for await (const { messageId } of client.webhooks.deliveries({ webhookId: "a", states, since: WHEN, pageSize: 1 })) found.push(messageId);

  assert.deepEqual(found, ["p-a", "b", "m", "l"]);
  const sinceTime = timestampFromDate(WHEN);
  assert.deepEqual(
    asked.map((each) => create(ListDeliveriesRequestSchema, each)),
    ["", "n"].map((pageToken) => create(ListDeliveriesRequestSchema, { webhookId: "a", states, sinceTime, pageSize: 1, pageToken })),
  );
});

test("the other calls say what is meant, and a rotation whose answer was lost is repeated as the same", async (t) => {
  const rotated: RotateSecretRequest[] = [];
  const again: RedeliverRequest[] = [];
  const deleted: string[] = [];
  const client = await serving(t, {
    deleteWebhook: ({ webhookId }) => {
      deleted.push(webhookId);
      return {};
    },
    rotateSecret: (request) => {
      rotated.push(request);
      if (rotated.length === 3) throw UNAVAILABLE();
      return { secret: "whsec_bmV3" };
    },
    getWebhook: () => ({ webhook: { webhookId: "w", secretGeneration: 4 } }),
    sendTest: () => ({ succeeded: true, status: 204 }),
    redeliver: (request) => {
      again.push(request);
      return { deliveries: 7n };
    },
  });

  const webhookId = "w";
  await client.webhooks.delete(webhookId);
  assert.equal((await client.webhooks.rotateSecret({ webhookId })).secret, "whsec_bmV3");
  await client.webhooks.rotateSecret({ webhookId, overlapMs: 0 });
  await client.webhooks.rotateSecret({ webhookId });
  assert.equal((await client.webhooks.test(webhookId)).status, 204);
  assert.equal(await client.webhooks.redeliver({ webhookId, messageId: "m" }), 7n);
  await client.webhooks.redeliver({ webhookId, givenUpSince: WHEN });

  assert.deepEqual(deleted, ["w"]);
  const secretGeneration = 4;
  assert.deepEqual(rotated, [
    create(RotateSecretRequestSchema, { webhookId, secretGeneration }),
    create(RotateSecretRequestSchema, { webhookId, secretGeneration, overlap: durationFromMs(0) }),
    ...Array.from({ length: 2 }, () => create(RotateSecretRequestSchema, { webhookId, secretGeneration })),
  ]);
  assert.deepEqual(again, [
    create(RedeliverRequestSchema, { webhookId, what: { case: "messageId", value: "m" } }),
    create(RedeliverRequestSchema, { webhookId, what: { case: "givenUpSinceTime", value: timestampFromDate(WHEN) } }),
  ]);
});

test("what is misspelt is refused before anything is sent, with what was meant", async (t) => {
  const { webhooks } = await serving(t, {});
  const fields = { url: URL, projectIds: ["film"] };
  // As a program in JavaScript calls.
  const loose = (value: object) => value as never;

  const wrong: [() => Promise<unknown>, string][] = [
    [() => webhooks.create(loose({ ...fields, uri: URL })), 'there is no "uri" (did you mean "url"?)'],
    [() => webhooks.create(loose({ ...fields, type: ["*"] })), 'there is no "type" (did you mean "types"?)'],
    [() => webhooks.update(loose({ webhookId: "w", project_ids: [] })), 'there is no "project_ids" (did you mean "projectIds"?)'],
    [() => webhooks.rotateSecret(loose({ webhookId: "w", overlap: 5 })), 'there is no "overlap" (did you mean "overlapMs"?)'],
    [() => webhooks.redeliver(loose({ webhookId: "w", message: "m" })), 'there is no "message" (did you mean "messageId"?)'],
    [() => webhooks.redeliver(loose({ webhookId: "w" })), 'give one of "messageId" and "givenUpSince"'],
    [() => webhooks.redeliver(loose({ webhookId: "w", messageId: "m", givenUpSince: WHEN })), 'give one of "messageId" and "givenUpSince"'],
    [() => webhooks.deliveries(loose({ webhookId: "w", state: [] })).next(), 'there is no "state" (did you mean "states"?)'],
  ];

  for (const [call, told] of wrong) await assert.rejects(call(), new TypeError(told));
});
