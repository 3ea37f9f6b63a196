/** `node look.mjs ADDRESS`: does what `look.py` does, with the TypeScript client of the release before. */
import { createInterface } from "node:readline";

import { Client, JobState } from "@evergreen/video";

const client = new Client(process.argv[2]);
const watched = new Set();
for await (const { body } of client.watch({ projectId: "mixed", afterRevision: 0, includeFinished: true })) {
  if (body.case === "checkpoint") {
    console.log("ready");
    continue;
  }
  watched.add(body.value.job.jobId);
  if (body.value.job.state === JobState.SUCCEEDED) break;
}
const lines = createInterface({ input: process.stdin });
const [line] = await new Promise((resolve) => lines.once("line", (text) => resolve([text])));
const others = line.split(" ");
const statuses = await Promise.all(others.map((jobId) => client.status(jobId)));
const waited = await Promise.all(others.map((jobId) => client.wait(jobId)));
const scene = await client.scenes.show({ projectId: "mixed", sceneId: "s" });
const listed = [];
for await (const job of client.list({ projectId: "mixed" })) listed.push(job.jobId);
console.log(JSON.stringify({
  watched: [...watched].sort(),
  listed,
  models: (await client.models()).map((model) => model.model),
  succeeded: [...statuses, ...waited].map((job) => job.state === JobState.SUCCEEDED),
  assets: statuses.flatMap((job) => job.outputs.map((output) => output.asset)),
  files: scene.folders.flatMap((folder) => folder.assets.map((asset) => asset.path)).sort(),
  from: import.meta.resolve("@evergreen/video"),
}));
lines.close();
client.close();
