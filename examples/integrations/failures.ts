/** Prints what failed in the last day, the newest first: `node dist/failures.js`. */
import { Client } from "@evergreen/video";

const client = new Client();
const createdFrom = new Date(Date.now() - 24 * 3600 * 1000);
for await (const job of client.list({ states: ["failed", "expired"], createdFrom, newestFirst: true })) {
  const { endTime, projectId, sceneId, model, error } = job;
  console.log(`${endTime?.toISOString().slice(11, 16)}  ${projectId}/${sceneId}  ${model}  ${error?.message}`);
}
client.close();
