/** `verify`: it agrees with the official package, and says what is wrong. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";

import { verify, WebhookRejected } from "@evergreen/video/webhooks";
import { Webhook } from "standardwebhooks";

const SECRET = `whsec_${Buffer.from("the secret of the receiver, 32 b").toString("base64")}`;
const OTHER = `whsec_${Buffer.from("quite another one, of 32 bytes .").toString("base64")}`;
const BODY = JSON.stringify({
  type: "video.succeeded",
  timestamp: "2026-11-29T12:54:59.067617123Z",
  data: { revision: "27", job: { jobId: "01a2", state: "JOB_STATE_SUCCEEDED", revision: "27", newer: [1] }, newer: {} },
  newer: 1,
  text: "ü",
});

interface Request {
  body: string;
  id: string;
  timestamp: string;
  signature: string;
  secret: string;
}

/** A request as it arrives, signed by the official package. */
function request(changes: Partial<Request> = {}, lateSeconds = 0): Request {
  const when = new Date(Date.now() - lateSeconds * 1000);
  const timestamp = String(Math.floor(when.getTime() / 1000));
  return { body: BODY, id: "0193-a.b", timestamp, signature: new Webhook(SECRET).sign("0193-a.b", when, BODY), secret: SECRET, ...changes };
}

function headersOf({ id, timestamp, signature }: Request): Record<string, string> {
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
}

function signed(change: (good: string) => string): Request {
  const good = request();
  return { ...good, signature: change(good.signature) };
}

test("it agrees with the official package", async () => {
  const requests: Record<string, [Request, boolean]> = {
    "as it was sent": [request(), true],
    "some minutes late": [request({}, 200), true],
    "some minutes ahead": [request({}, -200), true],
    "too old": [request({}, 400), false],
    "too new": [request({}, -400), false],
    "a secret without its prefix": [request({ secret: SECRET.replace("whsec_", "") }), true],
    "another secret": [request({ secret: OTHER }), false],
    "a longer body": [request({ body: `${BODY} ` }), false],
    "a body that was changed": [request({ body: BODY.replace("SUCCEEDED", "FAILED") }), false],
    "another id": [request({ id: "0193-a.c" }), false],
    "a shorter id": [request({ id: "0193-a" }), false],
    "another time": [request({ timestamp: String(Math.floor(Date.now() / 1000) + 7) }), false],
    "one signature of two": [signed((good) => `${new Webhook(OTHER).sign("0193-a.b", new Date(), BODY)} ${good}`), true],
    "a version whose name is longer": [signed((good) => good.replace("v1,", "v1a,")), false],
    "another version beside it": [signed((good) => `v2,AAAA ${good}`), true],
    "another version alone": [signed((good) => good.replace("v1,", "v2,")), false],
    "a signature that was changed": [signed((good) => `${good.slice(0, -6)}AAAA${good.slice(-2)}`), false],
    "an empty signature beside it": [signed((good) => `v1, ${good}`), true],
    "an empty signature alone": [request({ signature: "v1," }), false],
  };

  for (const [name, [each, isGood]] of Object.entries(requests)) {
    let official = true;
    try {
      new Webhook(each.secret).verify(each.body, headersOf(each));
    } catch {
      official = false;
    }
    const ours = await verify(each.body, headersOf(each), each.secret).then(() => true, (error) => {
      assert.ok(error instanceof WebhookRejected, name);
      return false;
    });
    assert.deepEqual([official, ours], [isGood, isGood], name);
  }
});

test("the event has its job, and what orders and tells repeats apart", async () => {
  const good = request();

  const event = await verify(Buffer.from(BODY), headersOf(good), SECRET);

  assert.deepEqual([event.type, event.messageId, event.revision], ["video.succeeded", "0193-a.b", 27]);
  assert.equal(event.time.toISOString(), "2026-11-29T12:54:59.067Z");
  assert.deepEqual([event.job?.jobId, event.job?.state, event.film, event.truncated], ["01a2", "succeeded", undefined, false]);
});

function told(type: string, data: object): Promise<unknown> {
  const body = JSON.stringify({ type, timestamp: "2026-11-29T12:54:59Z", data });
  const good = request();
  const signature = new Webhook(SECRET).sign(good.id, new Date(Number(good.timestamp) * 1000), body);
  return verify(body, headersOf({ ...good, signature }), SECRET);
}

test("a film, a test and a type of tomorrow are told too", async () => {
  const film = { revision: 9, film: { filmId: "f", state: "FILM_STATE_FAILED" }, truncated: true };
  const found = [await told("film.failed", film), await told("evergreen.ping", {}), await told("video.praised", { job: { jobId: "j", state: "JOB_STATE_PRAISED" } })];

  const [one, ping, later] = found as { film?: { filmId: string }; job?: { jobId: string }; revision: number; truncated: boolean; type: string }[];
  assert.deepEqual([one?.film?.filmId, one?.revision, one?.job, one?.truncated], ["f", 9, undefined, true]);
  assert.deepEqual([ping?.type, ping?.revision, ping?.job, ping?.film], ["evergreen.ping", 0, undefined, undefined]);
  assert.deepEqual([later?.type, later?.job?.jobId], ["video.praised", "j"]);
});

test("during a rotation either secret does, and headers may come in any form", async () => {
  const good = request();
  const other = new Webhook(OTHER).sign(good.id, new Date(Number(good.timestamp) * 1000), BODY);
  const both = headersOf({ ...good, signature: `${other} ${good.signature}` });

  for (const secrets of [SECRET, OTHER, `${SECRET}\n`, [SECRET, OTHER], [OTHER, SECRET]]) {
    assert.equal((await verify(BODY, both, secrets)).revision, 27);
  }
  const plain = headersOf(good);
  assert.equal((await verify(BODY, new Headers(plain), [OTHER, SECRET])).revision, 27);
  const upper = Object.fromEntries(Object.entries(plain).map(([name, value]) => [name.toUpperCase(), [value]]));
  assert.equal((await verify(BODY, { ...upper, host: undefined }, SECRET)).revision, 27);
  await assert.rejects(verify(BODY, plain, [OTHER]), /no signature fits the secret/);
});

test("a flood of signatures is not looked through: each would be work for whoever verifies", async () => {
  const good = request();
  const after = (number: number) => headersOf({ ...good, signature: [...Array.from({ length: number }, () => "v1,AAAA"), good.signature].join(" ") });

  assert.equal((await verify(BODY, after(9), SECRET)).revision, 27);
  await assert.rejects(verify(BODY, after(10), SECRET), /no signature fits/);
});

test("what is wrong is said", async () => {
  const wrong: [Partial<Record<string, string>>, RegExp][] = [
    [{ "webhook-id": "" }, /no header webhook-id/],
    [{ "webhook-timestamp": "1e9" }, /webhook-timestamp is no number of seconds/],
    [{ "webhook-timestamp": "-5" }, /webhook-timestamp is no number of seconds/],
    [{ "webhook-signature": "v1,ä" }, /no signature fits/],
    [{ "webhook-signature": "v1,".repeat(10_000) }, /no signature fits/],
  ];

  for (const [changes, text] of wrong) {
    await assert.rejects(verify(BODY, { ...headersOf(request()), ...changes } as Record<string, string>, SECRET), (error) => {
      assert.ok(error instanceof WebhookRejected);
      assert.match(error.message, text);
      return true;
    });
  }
  await assert.rejects(verify(BODY, {}, SECRET), /no header webhook-id and no webhook-timestamp and no webhook-signature/);
  await assert.rejects(verify(BODY, { ...headersOf(request()), "webhook-id": ["a", "b"] }, SECRET), /webhook-id came twice/);
  const old = headersOf(request({}, 1000));
  await assert.rejects(verify(BODY, old, SECRET), /signed 100\d s ago, and may be a repeat by somebody else: 300 s are allowed/);
  await assert.rejects(verify(BODY, headersOf(request({}, -1000)), SECRET), /ahead of this machine's clock/);
  assert.equal((await verify(BODY, old, SECRET, { toleranceMs: 1_100_000 })).revision, 27);
  assert.equal((await verify(BODY, old, SECRET, { now: () => Date.now() - 1_000_000 })).revision, 27);
});

test("what is signed and no event is rejected as that", async () => {
  const start = '{"type": "video.failed", "timestamp": "2026-11-29T12:54:59Z", "data": ';
  const bodies = ["", "[]", "7", "null", "{}", "\xff", "[".repeat(100_000), '{"type": "a", "data": {}}', '{"type": "a", "timestamp": "today", "data": {}}', `${start}[1]}`, `${start}{"revision": "x"}}`, `${start}{"job": [1]}}`, `${start}{"job": {"jobId": 1}}}`];

  for (const text of bodies) {
    const body = Buffer.from(text, "latin1");
    const { id, timestamp } = request();
    const key = Buffer.from(SECRET.replace("whsec_", ""), "base64");
    const signature = `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64")}`;
    const headers = headersOf({ body: "", id, timestamp, signature, secret: SECRET });
    await assert.rejects(verify(body, headers, SECRET), (error) => error instanceof WebhookRejected && /is signed, but is no event/.test(error.message));
  }
});

test("a secret that is none, and a body that was parsed, are the receiver's own faults", async () => {
  for (const secrets of ["", "whsec_", "whsec_ä", "not base64 at all!", [], [SECRET, ""], [undefined], undefined]) {
    await assert.rejects(verify(BODY, headersOf(request()), secrets as string), (error) => error instanceof TypeError && !error.message.includes("at all"));
  }
  await assert.rejects(verify(JSON.parse(BODY), headersOf(request()), SECRET), /must be bytes, as they came, not object/);
});
