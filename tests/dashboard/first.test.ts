/** The first endpoints as they were first asked for, from a page: the example call, its socket, and the clip in a real browser. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";

import type { Browser } from "playwright-core";

import { openBrowser } from "../clients/typescript/browser.js";
import { Rig, ROCKET } from "../clients/typescript/rig.js";
import { Visitor } from "./visitor.js";

let pictures: Server;
let host: string;
let rig: Rig;
let browser: Browser;

before(async () => {
  const picture = await readFile(ROCKET);
  pictures = createServer((_, answer) => answer.writeHead(200, { "content-type": "image/jpeg" }).end(picture)).listen(0, "127.0.0.1");
  await once(pictures, "listening");
  host = `127.0.0.1:${(pictures.address() as AddressInfo).port}`;
  rig = new Rig({ http: true, speed: "160", environ: { EVERGREEN_PICTURE_HOSTS: host } });
  await rig.open();
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await rig?.close();
  pictures?.close();
});

interface Told {
  readonly type: string;
  readonly jobId: string;
  readonly progress: number;
  readonly status: string;
  readonly videoUrl: string;
}

test("the call that was first asked for is followed by its socket to a clip that plays and can be seeked", async () => {
  const visitor = await Visitor.arrive(browser, rig.http);
  const { page } = visitor;
  const parts: string[] = [];
  page.on("response", (answer) => {
    if (answer.request().resourceType() === "media") parts.push(`${answer.status()} ${answer.headers()["content-range"] ?? ""}`);
  });
  await visitor.open();
  const call = { imageUrl: `http://${host}/rocket.jpg`, prompt: "The rocket rises slowly", duration: 10, projectId: "project-1", sceneId: "scene-1" };

  const { answer, told } = await page.evaluate(async (call) => {
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/api/videos/socket`);
    await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }));
    const headers = { "content-type": "application/json" };
    const response = await fetch("/api/videos/generate", { method: "POST", headers, body: JSON.stringify(call) });
    const answer = (await response.json()) as { jobId: string; status: string; duration: number };
    const told: Told[] = [];
    await new Promise<void>((resolve) => {
      socket.addEventListener("message", ({ data }) => {
        told.push(JSON.parse(String(data)) as Told);
        if (/_(completed|failed)$/.test(told.at(-1)!.type)) resolve();
      });
      socket.send(JSON.stringify({ type: "subscribe_job", jobId: answer.jobId }));
    });
    socket.close();
    return { answer, told };
  }, call);
  const clip = told.at(-1)!;
  const seen = await page.evaluate(async (url) => {
    const video = document.createElement("video");
    const next = (event: string) => new Promise((resolve) => video.addEventListener(event, resolve, { once: true }));
    video.muted = true;
    video.src = url;
    document.body.append(video);
    await next("loadeddata");
    await video.play();
    while (video.currentTime < 0.3) await next("timeupdate");
    const played = video.currentTime;
    video.pause();
    const at: number[] = [];
    for (const place of [0.9, 0.1, 0.5]) {
      video.currentTime = video.duration * place;
      await next("seeked");
      at.push(Math.round((video.currentTime / video.duration) * 10) / 10);
    }
    const { seekable } = video;
    return { played, at, width: video.videoWidth, seconds: Math.round(video.duration), seekable: Math.round(seekable.end(seekable.length - 1)) };
  }, clip.videoUrl);

  assert.deepEqual([answer.status, answer.duration], ["processing", 10]);
  assert.deepEqual([clip.type, clip.status, clip.progress, clip.jobId], ["video_generation_completed", "completed", 100, answer.jobId]);
  assert.ok(told.slice(0, -1).every(({ type }) => ["video_generation_started", "video_generation_progress"].includes(type)));
  assert.deepEqual(told.map(({ progress }) => progress), told.map(({ progress }) => progress).sort((a, b) => a - b));
  assert.ok(seen.played >= 0.3 && seen.width > 0);
  assert.deepEqual([seen.at, seen.seconds, seen.seekable], [[0.9, 0.1, 0.5], 10, 10]);
  assert.ok(parts.length > 0 && parts.every((part) => part.startsWith("206 bytes ")), parts.join());
  await visitor.leave();
});
