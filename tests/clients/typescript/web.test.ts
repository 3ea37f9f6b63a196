/** The client for pages: what is in it, and what it does in Node and in a real Chromium, against the real gateway. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { buildSync } from "esbuild";
import type { Browser } from "playwright-core";

import { Client, EventKind, InvalidRequest, JobNotFound, JobState, Unavailable, WireClient } from "@evergreen/video/web";

import { openBrowser } from "./browser.js";
import { Rig, ROCKET } from "./rig.js";

const rig = new Rig({ http: true });
const reconnect = { firstDelayMs: 50, maxDelayMs: 500, silenceMs: 20_000, patienceMs: 60_000 };
const CLIP = { projectId: "web", sceneId: "scene-1", model: "gen4_turbo", ratio: "1280:720", durationSeconds: 5 };
let browser: Browser;

before(async () => {
  await rig.open();
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await rig.close();
});

function bundled() {
  const stdin = { contents: 'export * from "@evergreen/video/web"; export * from "@evergreen/video/v1/video";', resolveDir: process.cwd() };
  return buildSync({ stdin, bundle: true, write: false, metafile: true, minify: true, platform: "browser", format: "iife", globalName: "evergreen" });
}

test("nothing of Node is in what a page gets", () => {
  const { metafile } = bundled();

  const inputs = Object.keys(metafile.inputs);
  const imported = Object.values(metafile.inputs).flatMap((input) => input.imports.map((each) => each.path));
  assert.deepEqual(inputs.filter((path) => /\/dist\/node\/|connect-node/.test(path)), []);
  assert.deepEqual(imported.filter((path) => path.startsWith("node:")), []);
  assert.ok(inputs.some((path) => path.includes("connect-web")));
});

test("in Node it makes a clip, watches it over a killed server, and tells faults by their classes", async () => {
  const client = new WireClient(rig.http, { reconnect });
  const image = new Blob([await readFile(ROCKET)]);

  const job = await client.generate({ ...CLIP, promptText: "a clip", image });
  const told: [bigint, EventKind][] = [];
  let killed = false;
  for await (const { revision, body } of client.watch({ jobIds: [job.jobId], afterRevision: 0 })) {
    if (body.case !== "event") continue;
    told.push([revision, body.value.kind]);
    // Not before: a server that is killed while it submits asks somebody.
    if (body.value.kind === EventKind.PROGRESS && !killed) {
      killed = true;
      await rig.stop("SIGKILL");
      await rig.start();
    }
  }

  const all: typeof told = [];
  for await (const { revision, body } of client.watch({ jobIds: [job.jobId], afterRevision: 0 })) {
    if (body.case === "event") all.push([revision, body.value.kind]);
  }
  const changes = (events: typeof told) => events.filter(([, kind]) => kind !== EventKind.PROGRESS);
  assert.deepEqual(changes(told), changes(all).filter(([revision]) => revision <= told.at(-1)![0]));
  assert.equal(told.at(-1)?.[1], EventKind.SUCCEEDED);
  assert.ok(killed);
  await assert.rejects(client.status("0190b0a0-0000-7000-8000-000000000000"), (error) => error instanceof JobNotFound && error.code === 5);
  await assert.rejects(client.quote({ ...CLIP, durationSeconds: 99 }), (error) => {
    return error instanceof InvalidRequest && error.code === 3 && error.violations.some(({ field }) => field === "duration_seconds");
  });
  client.close();
});

test("where nobody listens, a call ends as unavailable", async () => {
  const client = new WireClient("http://127.0.0.1:9", { timeoutMs: 300 });

  await assert.rejects(client.caller(), Unavailable);
});

test("in Chromium it makes a clip from a blob and watches it to its end", async () => {
  const page = await browser.newPage();
  await page.goto(`${rig.http}/healthz`);
  await page.evaluate(`${bundled().outputFiles[0]!.text}; globalThis.evergreen = evergreen;`);

  const told = await page.evaluate(`(async () => {
    const { WireClient, JobNotFound, EventKind } = evergreen;
    const client = new WireClient();
    const job = await client.generate({ ...${JSON.stringify(CLIP)}, promptText: "from a page", image: new Blob([Uint8Array.from(${JSON.stringify([...(await readFile(ROCKET))])})]) });
    const kinds = [];
    for await (const { body } of client.watch({ jobIds: [job.jobId], afterRevision: 0 }))
      if (body.case === "event") kinds.push(body.value.kind);
    const fault = await client.status("0190b0a0-0000-7000-8000-000000000000").catch((error) => error);
    return { state: (await client.status(job.jobId)).state, first: kinds[0], last: kinds.at(-1), fault: fault instanceof JobNotFound };
  })()`);

  assert.deepEqual(told, { state: JobState.SUCCEEDED, first: EventKind.CREATED, last: EventKind.SUCCEEDED, fault: true });
  await page.close();
});

test("in Chromium a handle watches its job to the end and gives its files, whole and as a stream", async () => {
  const page = await browser.newPage();
  await page.goto(`${rig.http}/healthz`);
  await page.evaluate(`${bundled().outputFiles[0]!.text}; globalThis.evergreen = evergreen;`);

  const told = await page.evaluate(`(async () => {
    const { Client, JobCancelled } = evergreen;
    const client = new Client();
    const image = new Blob([Uint8Array.from(${JSON.stringify([...(await readFile(ROCKET))])})]);
    const clip = await client.generate({ ...${JSON.stringify(CLIP)}, promptText: "a handle", image });
    const states = [];
    for await (const { state, isFinal } of clip.watch()) states.push(isFinal ? state + "!" : state);
    const moved = [];
    const [file] = await clip.download({ moved: (bytes, size) => moved.push(bytes / size) });
    const { projectId, sceneId, outputs } = clip.job;
    const streamed = await new Response(client.scenes.stream({ projectId, sceneId, path: outputs[0].asset })).arrayBuffer();
    const other = await client.generate({ ...${JSON.stringify(CLIP)}, promptText: "not wanted", image, startBy: new Date(Date.now() + 60000) });
    const ending = other.wait({ timeoutMs: 60000 }).catch((error) => error);
    await other.cancel();
    const [ended] = await client.waitAll([other]);
    const listed = [];
    for await (const job of client.list({ projectId, newestFirst: true })) listed.push(job.jobId);
    return {
      last: states.at(-1),
      name: file.name === outputs[0].asset.split("/").at(-1),
      type: file.type,
      sizes: [file.size === outputs[0].sizeBytes, streamed.byteLength === file.size],
      moved: moved.at(-1),
      // It may have been made by then.
      cancelled: (await ending) instanceof JobCancelled === (ended.state === "cancelled"),
      listed: listed.slice(0, 2).join() === [other.jobId, clip.jobId].join(),
      json: JSON.parse(JSON.stringify(clip)).state,
    };
  })()`);

  assert.deepEqual(told, { last: "succeeded!", name: true, type: "video/mp4", sizes: [true, true], moved: 1, cancelled: true, listed: true, json: "succeeded" });
  await page.close();
});

test("a socket resumes from what was told, tells nothing twice, says what was missed, and ends when the token does", async () => {
  const page = await browser.newPage();
  const asked: unknown[] = [];
  const event = (revision: number, kind = "progress") => ({ type: "event", event: kind, revision: `${revision}`, time: "2026-01-01T00:00:00Z", job: { jobId: "a", projectId: "web", revision: `${revision}` } });
  const checkpoint = (revision: number) => ({ type: "checkpoint", projectId: "web", revision: `${revision}` });
  const answers = [
    { frames: [event(3, "snapshot"), checkpoint(5), event(6), event(6), event(5)], code: 1012 },
    { frames: [event(6), event(8), { ...event(9), job: { jobId: "b", projectId: "other" } }], code: 1001 },
    { frames: [{ type: "gap", projectId: "web", reason: "CURSOR_COMPACTED", metadata: {} }, event(4, "snapshot"), checkpoint(9)], code: 4401 },
  ];
  await page.routeWebSocket(/\/api\/v1\/socket$/, (socket) => {
    socket.send(JSON.stringify({ type: "welcome", heartbeatSeconds: 15, version: "1" }));
    socket.onMessage(async (message) => {
      asked.push(JSON.parse(String(message)));
      const { frames, code } = answers[asked.length - 1]!;
      for (const frame of frames) socket.send(JSON.stringify(frame));
      await socket.close({ code });
    });
  });
  await page.goto(`${rig.http}/healthz`);
  await page.evaluate(`${bundled().outputFiles[0]!.text}; globalThis.evergreen = evergreen;`);

  const told = await page.evaluate(`new Promise((resolve) => {
    const told = [];
    const live = new evergreen.Live(location.origin, {
      onState: (state, error) => {
        if (state === "ended") resolve([...told, error instanceof evergreen.Unauthenticated]);
        else if (state !== "connecting") told.push(state);
      },
      onEvent: ({ kind, revision }) => told.push(kind + " " + revision),
      onCheckpoint: (project, revision) => told.push("checkpoint " + revision),
      onGap: (project) => told.push("gap " + project),
    }, { reconnect: { firstDelayMs: 10 } });
    live.follow("web");
  })`);

  assert.deepEqual(asked, [
    { type: "subscribe", projectId: "web" },
    { type: "subscribe", projectId: "web", afterRevision: "6" },
    { type: "subscribe", projectId: "web", afterRevision: "8" },
  ]);
  assert.deepEqual(told, ["live", "snapshot 3", "checkpoint 5", "progress 6", "reconnecting", "live", "progress 8", "reconnecting", "live", "gap web", "snapshot 4", "checkpoint 9", true]);
  await page.close();
});
