/** The client against the real service: through kills, restarts and broken connections. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { after, before, beforeEach, test } from "node:test";
import { dirname } from "node:path";

import { AssetNotFound, WireClient, EventKind, isFinal, JobNotFound, JobState, SceneNotFound } from "@evergreen/video";
import type { WatchProgressResponse } from "@evergreen/video";
import type { Job } from "@evergreen/video/v1/video";

import { Rig, ROCKET } from "./rig.js";

const rig = new Rig();
let client: WireClient;
let serial = 0;

before(async () => {
  await rig.open();
  const reconnect = { firstDelayMs: 50, maxDelayMs: 500, silenceMs: 20_000, patienceMs: 60_000 };
  client = new WireClient(rig.address, { reconnect });
});
after(async () => {
  client?.close();
  await rig.close();
});
beforeEach(() => {
  rig.proxy.delayMs = 0;
  rig.proxy.cutAfter = Number.POSITIVE_INFINITY;
});

function ask(): Promise<Job> {
  serial += 1;
  const clip = { model: "gen4_turbo", ratio: "1280:720", durationSeconds: 5, promptText: `clip ${serial}`, image: ROCKET };
  return client.generate({ projectId: `film-${serial}`, sceneId: "scene-1", ...clip });
}

/** What may never be left out of a watch. */
function changes(messages: readonly WatchProgressResponse[]): string[] {
  return messages.flatMap(({ revision, body }) =>
    body.case === "event" && body.value.kind !== EventKind.PROGRESS ? [`${revision} ${EventKind[body.value.kind]}`] : [],
  );
}

async function history(projectId: string): Promise<WatchProgressResponse[]> {
  const seen: WatchProgressResponse[] = [];
  for await (const message of client.watch({ projectId, afterRevision: 0 })) {
    if (message.body.case === "checkpoint") return seen;
    seen.push(message);
  }
  throw new Error("a project's watch does not end");
}

/** Watches a new job from its first event, does something at each, and compares with the whole history. */
async function watched(disturb: (count: number) => void | Promise<void>): Promise<void> {
  const { jobId, projectId } = await ask();
  const seen: WatchProgressResponse[] = [];
  for await (const message of client.watch({ jobIds: [jobId], afterRevision: 0 })) {
    if (message.body.case !== "event") continue;
    seen.push(message);
    await disturb(seen.length);
  }
  assert.deepEqual(changes(seen), changes(await history(projectId)));
  const last = seen.at(-1)?.body;
  assert.ok(last?.case === "event" && last.value.job?.state === JobState.SUCCEEDED);
}

test("a clip is asked for, watched, listed, and its file fetched", async () => {
  const { jobId, projectId, sceneId } = await ask();
  const job = await client.wait(jobId);

  const [output] = job.outputs;
  assert.ok(output);
  const target = rig.path("clip.mp4");
  const asset = await client.scenes.download({ projectId, sceneId, path: output.asset }, target);
  assert.equal(asset.crc32c, output.crc32c);
  assert.equal(BigInt((await readFile(target)).length), output.sizeBytes);
  const listed: Job[] = [];
  for await (const each of client.list({ projectId, states: [JobState.SUCCEEDED], pageSize: 1 })) listed.push(each);
  assert.deepEqual(listed.map((each) => each.jobId), [jobId]);
  assert.equal((await client.status(jobId)).request?.model, "gen4_turbo");
  assert.ok((await client.models()).some((model) => model.model === "gen4_turbo"));
  assert.ok((await client.account()).creditBalance > 0);
});

test("a cancelled job is cancelled, and what is unknown is said to be", async () => {
  const { jobId, projectId, sceneId } = await ask();
  await client.cancel(jobId);
  for await (const { body } of client.watch({ jobIds: [jobId] })) {
    if (body.case === "event" && body.value.job && isFinal(body.value.job)) break;
  }

  assert.ok([JobState.CANCELLED, JobState.SUCCEEDED].includes((await client.status(jobId)).state));
  await assert.rejects(client.status("01890000-0000-7000-8000-000000000000"), JobNotFound);
  await assert.rejects(client.scenes.show({ projectId, sceneId: "nowhere" }), SceneNotFound);
  await client.scenes.create({ projectId, sceneId });
  const missing = { projectId, sceneId, path: "images/none.png" };
  await assert.rejects(client.scenes.download(missing, rig.path("none.png")), AssetNotFound);
});

test("a quote makes no job", async () => {
  const clip = { model: "gen4.5", ratio: "1280:720", durationSeconds: 2, promptText: "priced" };

  assert.ok((await client.quote({ projectId: "quoted", sceneId: "s", ...clip }))! > 0);
  for await (const job of client.list({ projectId: "quoted" })) assert.fail(job.jobId);
});

test("a watch survives connections that are cut, one after the other", async () => {
  const before = rig.proxy.connections;

  await watched(() => rig.proxy.cut());

  assert.ok(rig.proxy.connections > before + 2);
});

test("a watch survives connections that end on one side", () => watched(() => rig.proxy.halfClose()));

test("a watch survives connections that are cut in the middle of a message, and slow ones", async () => {
  rig.proxy.delayMs = 20;

  await watched((count) => {
    // The next connection ends after this many bytes, which may be within the next event: the one after it must last.
    rig.proxy.cutAfter = count < 5 ? 400 + 97 * count : Number.POSITIVE_INFINITY;
    rig.proxy.cuts = 1;
    rig.proxy.cut();
  });
  rig.proxy.cuts = Number.POSITIVE_INFINITY;
});

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  test(`a watch and the calls beside it survive a server that is ended with ${signal}`, async () => {
    await watched(async (count) => {
      if (count !== 2) return;
      await rig.stop(signal);
      await rig.start();
    });
  });
}

test("a download goes on where it broke, over many cuts", async () => {
  const name = { projectId: "files", sceneId: "scene-1", path: "exports/cut.bin" };
  const data = randomBytes(9_000_000);
  const uploaded = await client.scenes.upload(name, data);
  const target = rig.path("cut.bin");
  rig.proxy.cut();
  rig.proxy.cutAfter = 3_000_000;
  const before = rig.proxy.connections;
  let passed = 0;

  const asset = await client.scenes.download(name, target, { moved: (moved) => (passed = Math.max(passed, moved)) });

  assert.ok(rig.proxy.connections >= before + 3);
  assert.equal(passed, data.length);
  assert.equal(asset.crc32c, uploaded.crc32c);
  assert.deepEqual(await readFile(target), data);
  assert.deepEqual((await readdir(dirname(target))).filter((each) => each.endsWith(".part")), []);
});

test("part of a file is read, and goes on inside its bounds", async () => {
  const name = { projectId: "files", sceneId: "scene-1", path: "exports/part.bin" };
  const data = randomBytes(4_000_000);
  await client.scenes.upload(name, data);
  rig.proxy.cut();
  rig.proxy.cutAfter = 1_200_000;
  const pieces: Uint8Array[] = [];

  for await (const { body } of client.scenes.read({ ...name, offset: 500_000, limit: 3_000_000 })) {
    if (body.case === "chunk") pieces.push(body.value);
  }

  assert.deepEqual(Buffer.concat(pieces), data.subarray(500_000, 3_500_000));
});

test("an upload is made again from the start when its connection is cut", async () => {
  const source = rig.path("source.bin");
  const data = randomBytes(6_000_000);
  await writeFile(source, data);
  const name = { projectId: "files", sceneId: "scene-1", path: "exports/again.bin" };
  let cuts = 0;

  const asset = await client.scenes.upload(name, source, {
    moved: (moved) => {
      if (moved < 2_000_000 || cuts >= 2) return;
      cuts += 1;
      rig.proxy.cut();
    },
  });

  assert.equal(cuts, 2);
  assert.equal(asset.sizeBytes, 6_000_000n);
  const scene = await client.scenes.show(name);
  assert.ok(scene.folders.flatMap((folder) => folder.assets).some((each) => each.path === name.path));
  await client.scenes.deleteAsset(name);
  await assert.rejects(client.scenes.download(name, rig.path("x")), AssetNotFound);
});

test("a transfer is left when its signal says so, and leaves nothing behind", async () => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const name = { projectId: "files", sceneId: "scene-1", path: "exports/left.bin" };
  const options = { signal: controller.signal, moved: (moved: number) => { if (moved > 0) controller.abort(reason); } };

  await assert.rejects(client.scenes.upload(name, randomBytes(8_000_000), options), reason);
  await assert.rejects(client.scenes.download(name, rig.path("left.bin")), AssetNotFound);
});

test("scenes are made, listed page by page and deleted", async () => {
  const projectId = "stages";
  for (const sceneId of ["a", "b", "c"]) await client.scenes.create({ projectId, sceneId });
  const seen: string[] = [];
  for await (const scene of client.scenes.list({ projectId, pageSize: 2 })) seen.push(scene.sceneId);
  await client.scenes.delete({ projectId, sceneId: "b", force: true });

  assert.deepEqual(seen, ["a", "b", "c"]);
  await assert.rejects(client.scenes.show({ projectId, sceneId: "b" }), SceneNotFound);
});
