// The official Node SDK, unchanged but for the base URL. Prints one JSON object; exits non-zero on a wrong outcome.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import OpenAI, { toFile } from "openai";

const [baseURL, lossyURL, apiKey, picture] = process.argv.slice(2);
const client = new OpenAI({ apiKey, baseURL, project: "film" });

async function succeed() {
  const file = await toFile(await readFile(picture), "rocket.jpg", { type: "image/jpeg" });
  const made = await client.videos.create({ prompt: "node rises", seconds: "5", size: "1280x720", input_reference: file });
  let done = made;
  while (["queued", "in_progress"].includes(done.status)) {
    const { data, response } = await client.videos.retrieve(made.id).withResponse();
    done = data;
    await new Promise((resolve) => setTimeout(resolve, Number(response.headers.get("openai-poll-after-ms")) / 4));
  }
  assert.equal(done.status, "completed");
  assert.equal(done.progress, 100);
  const clip = Buffer.from(await (await client.videos.downloadContent(done.id)).arrayBuffer());
  assert.equal(clip.subarray(4, 8).toString(), "ftyp");
  const poster = await client.videos.downloadContent(done.id, { variant: "thumbnail" });
  assert.equal(poster.headers.get("content-type"), "image/jpeg");
  assert.equal((await client.videos.delete(done.id)).deleted, false);
  assert.equal((await client.videos.retrieve(done.id)).status, "completed");
  return clip.length;
}

async function list() {
  const made = [];
  for (const prompt of ["one", "two", "three"]) {
    made.push((await client.videos.create({ prompt, size: "1280x720", seconds: "2" })).id);
  }
  const seen = [];
  for await (const video of client.videos.list({ limit: 2, order: "asc" })) seen.push(video.id);
  assert.deepEqual(seen.filter((id) => made.includes(id)), made);
  return made.length;
}

async function lose() {
  const lossy = new OpenAI({ apiKey, baseURL: lossyURL, project: "film" });
  return (await lossy.videos.create({ prompt: "node lost", seconds: "2", size: "1280x720" })).id;
}

async function errors() {
  const wrong = (error) => error.param === "seconds" && error.code === "INVALID_REQUEST";
  await assert.rejects(client.videos.create({ prompt: "x", seconds: "99", size: "1280x720" }), wrong);
  await assert.rejects(client.videos.retrieve("video_none"), OpenAI.NotFoundError);
  await assert.rejects(client.videos.remix("video_none", { prompt: "x" }), (error) => error.status === 501);
  const stranger = new OpenAI({ apiKey: "evg_wrong", baseURL });
  await assert.rejects(stranger.videos.list(), OpenAI.AuthenticationError);
  return "named";
}

const [bytes, listed, found, lost] = [await succeed(), await list(), await errors(), await lose()];
console.log(JSON.stringify({ bytes, listed, found, lost }));
