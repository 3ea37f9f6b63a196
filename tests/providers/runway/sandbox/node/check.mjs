// The official Node SDK, unchanged but for the base URL. Prints one JSON object; exits non-zero on a wrong outcome.
import assert from "node:assert/strict";
import RunwayML, { TaskFailedError } from "@runwayml/sdk";

const [baseURL, apiKey, promptImage] = process.argv.slice(2);
const client = new RunwayML({ apiKey, baseURL });
const clip = { model: "gen4.5", promptImage, ratio: "1280:720", duration: 2 };

async function succeed() {
  const task = await client.imageToVideo.create({ ...clip, promptText: "a slow pan" }).waitForTaskOutput();
  assert.equal(task.status, "SUCCEEDED");
  const answer = await fetch(task.output[0]);
  assert.equal(answer.headers.get("content-type"), "video/mp4");
  await client.tasks.delete(task.id);
  await assert.rejects(client.tasks.retrieve(task.id), RunwayML.NotFoundError);
  return (await answer.arrayBuffer()).byteLength;
}

async function fail() {
  const waiting = client.textToVideo
    .create({ model: "gen4.5", ratio: "1280:720", duration: 2, promptText: "doomed" })
    .waitForTaskOutput();
  const error = await waiting.then(assert.fail, (reason) => reason);
  assert.ok(error instanceof TaskFailedError);
  return error.taskDetails.failureCode;
}

async function cancel() {
  const { id } = await client.imageToVideo.create({ ...clip, promptText: "never mind" });
  await client.tasks.delete(id);
  await assert.rejects(client.tasks.retrieve(id), RunwayML.NotFoundError);
  return id;
}

async function errors() {
  await assert.rejects(
    client.imageToVideo.create({ ...clip, promptText: "x", duration: 99 }),
    (error) => error instanceof RunwayML.BadRequestError && error.error.issues[0].path[0] === "duration",
  );
  await assert.rejects(
    client.textToVideo.create({ model: "veo3.1", ratio: "1280:720", duration: 4, promptText: "x" }),
    RunwayML.RateLimitError,
  );
  await assert.rejects(
    new RunwayML({ apiKey: "key_wrong", baseURL }).organization.retrieve(),
    RunwayML.AuthenticationError,
  );
  return (await client.organization.retrieve()).creditBalance;
}

const [bytes, failureCode, cancelled, balance] = await Promise.all([succeed(), fail(), cancel(), errors()]);
console.log(JSON.stringify({ bytes, failureCode, cancelled, balance }));
