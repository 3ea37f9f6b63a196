/** The client for daily use: handles and values of jobs, inputs of all kinds, and downloads that go on. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Client, INLINE_LIMIT, Job, JobCancelled, Unavailable } from "@evergreen/video";
import { JobSchema, JobState } from "@evergreen/video/v1/video";

import { Rig, ROCKET } from "./rig.js";

const rig = new Rig();
let client: Client;
const CLIP = { projectId: "film", sceneId: "scene-1", model: "gen4_turbo", ratio: "1280:720", durationSeconds: 5 } as const;

before(async () => {
  await rig.open();
  client = new Client(rig.address);
});
after(async () => {
  client?.close();
  await rig.close();
});

async function folder(name: string): Promise<string> {
  const path = rig.path(name);
  await mkdir(path);
  return path;
}

test("a job has dates, words and undefined for what is absent, and goes into JSON", () => {
  const begun = new Date("2026-11-28T12:00:00Z");
  const outputs = [{ asset: "videos/j.mp4", sizeBytes: 2n ** 40n }];
  const job = new Job(
    create(JobSchema, { jobId: "j", state: JobState.NEEDS_ATTENTION, revision: 7n, createTime: timestampFromDate(begun), outputs }),
  );
  const odd = new Job(create(JobSchema, { state: 99 as JobState, createTime: { seconds: 10n ** 15n, nanos: 0 } }));

  assert.deepEqual([job.state, job.stage, job.endTime, job.chargedCredits, job.model], ["needs_attention", ...Array(4)]);
  assert.deepEqual([job.createTime, job.outputs[0]?.sizeBytes, job.outputs[0]?.width], [begun, 2 ** 40, undefined]);
  const plain = JSON.parse(JSON.stringify(job)) as Record<string, unknown>;
  assert.deepEqual([plain["createTime"], plain["revision"], plain["message"]], ["2026-11-28T12:00:00.000Z", 7, undefined]);
  assert.equal(job.message.jobId, "j");
  assert.equal(odd.state, "99");
  assert.ok(JSON.stringify(odd));
});

test("from a picture to a clip on this machine", async () => {
  const target = join(await folder("clip"), "clip.mp4");
  assert.equal(await client.healthy(), true);

  const clip = await client.generate({ ...CLIP, promptText: "The rocket climbs", image: ROCKET });
  const states: string[] = [];
  for await (const job of clip.watch()) states.push(job.state);
  const done = await clip.wait({ timeoutMs: 60_000 });
  const files = await clip.download(target);

  assert.equal(states.at(-1), "succeeded");
  assert.deepEqual([done.model, done.prompt, clip.job.state], ["gen4_turbo", "The rocket climbs", "succeeded"]);
  assert.deepEqual(files, [target]);
  assert.equal((await readFile(target)).length, done.outputs[0]?.sizeBytes);
  await assert.rejects(clip.download(target), { code: "EEXIST" });
  const nowhere = join(dirname(target), "none", "clip.mp4");
  await assert.rejects(clip.download(nowhere), { code: "ENOENT", message: `ENOENT: no such file or directory, open '${nowhere}'` });
  await clip.download(target, { overwrite: true });
  assert.deepEqual(await readdir(join(target, "..")), ["clip.mp4"]);
  assert.equal((await client.job(clip.jobId)).job.isFinal, true);
  for await (const job of client.list({ projectId: "film", states: ["succeeded"], kinds: ["video"] })) assert.equal(job.kind, "video");
  assert.throws(() => JSON.stringify(clip.job.message), TypeError);
  assert.ok(JSON.stringify({ clip }));
});

test("a large input is uploaded once, and an input may be a URL or an asset", async () => {
  // A PNG may have anything behind its end, which the service leaves out.
  const large = join(await folder("large"), "hero.JPG");
  await writeFile(large, Buffer.concat([await readFile(ROCKET), randomBytes(INLINE_LIMIT)]));
  const digest = createHash("sha256").update(await readFile(large)).digest("hex").slice(0, 40);
  const scene = { ...CLIP, sceneId: "large" };

  const one = await client.generate({ ...scene, image: large });
  const again = await client.generate({ ...scene, image: large });
  const asset = await client.generate({ ...scene, image: `asset:images/${digest}.jpg` });
  await client.quote({ ...scene, image: new URL("https://example.com/a.jpg") });
  await client.quote({ ...scene, image: await readFile(large) });

  for (const { job } of [one, again, asset]) {
    assert.deepEqual(job.message.request?.media[0]?.source, { case: "asset", value: `images/${digest}.jpg` });
  }
  const { folders } = await client.scenes.show(scene);
  const kept = folders.flatMap(({ assets }) => assets.map(({ path }) => path)).filter((path) => path.includes(digest));
  assert.deepEqual(kept.sort(), [`images/${digest}`, `images/${digest}.jpg`]);
  await assert.rejects(client.generate({ ...scene, image: "s3://bucket/a.png" }), /asset:PATH, not "s3:\/\/bucket/);
  await assert.rejects(client.generate({ ...scene, image: 5 as never }), /not number/);
  await assert.rejects(client.generate({ ...scene, image: "nowhere.png" }), { code: "ENOENT" });
  await client.waitAll([one, again, asset], { timeoutMs: 60_000 });
});

test("of inputs that are too large together, the largest are uploaded", async () => {
  const rocket = await readFile(ROCKET);
  const [small, large] = [1_500_000, 1_700_000].map((size) => Buffer.concat([rocket, randomBytes(size)]));
  const digest = createHash("sha256").update(large!).digest("hex").slice(0, 40);
  const scene = { projectId: "film", sceneId: "both" };
  const references = { one: small!, two: large! };

  const { job } = await client.generateImage({ ...scene, model: "gen4_image", ratio: "1280:720", promptText: "@one, @two", references });

  const { value } = job.message.generateRequest!.operation;
  const sent = (value as { references: { tag: string; source: { value?: unknown } }[] }).references;
  assert.deepEqual(sent.map(({ tag }) => tag), ["one", "two"]);
  assert.equal(sent[1]!.source.value, `images/${digest}`);
});

test("a download goes on where it was, and what was left of another file is not gone on with", async () => {
  const here = await folder("resume");
  const data = randomBytes(3_000_000);
  const name = { projectId: "film", sceneId: "scene-1", path: "exports/a.bin" };
  await client.scenes.upload(name, data);
  const target = join(here, "a.bin");
  const crash = (received: number) => {
    if (received > 1_000_000) throw new RangeError("crash");
  };
  const moved: number[] = [];

  await assert.rejects(client.scenes.download(name, target, { moved: crash }), RangeError);
  await client.scenes.download(name, target, { moved: (at) => moved.push(at) });

  assert.ok(moved[0]! > 1_000_000);
  assert.deepEqual(await readFile(target), data);
  const part = createHash("sha256").update("film/scene-1/exports/a.bin").digest("hex").slice(0, 8);
  for (const left of [Buffer.from("other"), Buffer.alloc(4_000_000)]) {
    await writeFile(join(here, `.a.bin.${part}.part`), left);
    // Of a process that is no more.
    await writeFile(join(here, `.a.bin.${part}.part.lock`), `${process.pid} 1`);
    await client.scenes.download(name, target, { overwrite: true });
  }
  await Promise.all([1, 2].map(() => client.scenes.download(name, target, { overwrite: true })));
  assert.deepEqual(await readFile(target), data);
  assert.deepEqual(await readdir(here), ["a.bin"]);
});

test("jobs are told as they end, and a wait ends with its time", async () => {
  const scene = { ...CLIP, sceneId: "many", image: ROCKET };
  const clips = [await client.generate(scene), await client.generate({ ...scene, projectId: "other" })];
  const late = await client.generate({ ...scene, startBy: new Date(Date.now() + 60_000), priority: -1 });

  await assert.rejects(late.wait({ timeoutMs: 1 }), { name: "TimeoutError" });
  await assert.rejects(late.wait({ signal: AbortSignal.abort(new RangeError("left")) }), RangeError);
  await late.cancel();
  const ended: string[] = [];
  for await (const job of client.asCompleted([...clips, late], { timeoutMs: 60_000 })) ended.push(job.jobId);
  const all = await client.waitAll([late, ...clips, late.job]);

  assert.deepEqual(ended.sort(), [...clips, late].map(({ jobId }) => jobId).sort());
  assert.deepEqual(all.map(({ jobId }) => jobId), [late, ...clips, late].map(({ jobId }) => jobId));
  assert.deepEqual(all.slice(1, 3).map(({ state }) => state), ["succeeded", "succeeded"]);
  assert.deepEqual(await client.waitAll([]), []);
  if (late.job.state === "cancelled") await assert.rejects(late.wait(), JobCancelled);
  for await (const job of client.watch("other", { includeFinished: true })) {
    assert.equal(job.projectId, "other");
    break;
  }
  await assert.rejects(async () => {
    for await (const _ of client.list({ states: ["done" as never] }));
  }, /there is no state "done"; there are queued, running/);
});

test("the environment says where the service is, and what makes no sense is refused", async () => {
  const token = join(await folder("environment"), "token");
  await writeFile(token, "first\nother");
  const given = { ...process.env };
  try {
    Object.assign(process.env, { EVERGREEN_ENDPOINT: rig.address, EVERGREEN_TOKEN_FILE: token });
    const own = new Client();
    assert.equal(await own.healthy(), true);
    own.close();
    for (const [name, value, told] of [
      ["EVERGREEN_TLS", "maybe", /EVERGREEN_TLS must be 1 or 0/],
      ["EVERGREEN_TLS_CLIENT_CERT", token, /give both/],
      ["EVERGREEN_TLS_CA", "/nowhere.pem", /nowhere\.pem/],
      ["EVERGREEN_TOKEN_FILE", "/nowhere", /nowhere/],
      ["EVERGREEN_ENDPOINT", "http://localhost", /HOST:PORT/],
    ] as const) {
      process.env[name] = value;
      assert.throws(() => new Client(), told);
      delete process.env[name];
    }
  } finally {
    process.env = given;
  }
});

test("a service that is not there is told in a sentence", async () => {
  const nobody = new Client("127.0.0.1:1", { reconnect: { random: () => 0 } });
  await assert.rejects(nobody.healthy(), (error) => {
    assert.ok(error instanceof Unavailable);
    assert.equal(error.message, "the service at 127.0.0.1:1 cannot be reached: nothing listens there (Unavailable)");
    return true;
  });
  nobody.close();
});

test("what is no id, and a string in place of a list, is refused in a sentence", async () => {
  const wrong: readonly (readonly [() => unknown, string])[] = [
    [() => client.job(5 as never), '"jobId" must be text, not number'],
    [() => client.wire.cancel(null as never), '"jobId" must be text, not null'],
    [() => client.wire.wait(undefined as never), '"jobId" must be text, not undefined'],
    [() => client.wire.watch({ jobIds: "01a2" as never }), '"jobIds" must be a list, not text: write ["01a2"]'],
    [() => client.wire.watch({ jobIds: ["a", 7 as never] }), '"jobIds" must hold texts alone, not number'],
    [() => client.list({ models: "gen4.5" as never }).next(), '"models" must be a list, not text: write ["gen4.5"]'],
    [() => client.generate({ ...CLIP, projectId: 7 as never }), '"projectId" must be text, not number'],
    [() => client.generate({ ...CLIP, sceneId: ["s"] as never }), '"sceneId" must be text, not list'],
  ];
  for (const [call, message] of wrong) await assert.rejects(async () => call(), { name: "TypeError", message });
});
