/** Makes 20 clips, and cancels two. Killed and run again, it goes on where it was: `node dist/batch.js CURSOR`. */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

import { Client } from "@evergreen/video";

const [cursor = "cursor"] = process.argv.slice(2);
const client = new Client();
const clip = { projectId: "takes", model: "gen4.5", ratio: "1280:720", durationSeconds: 2 };
// The same request ids are the same jobs, however often this runs.
const takes = await Promise.all(
  Array.from({ length: 20 }, (_, n) =>
    client.generate({ ...clip, sceneId: `scene-${n % 4}`, requestId: `batch-${n}`, promptText: `take ${n}` }),
  ),
);
for (const take of takes.slice(18)) await take.cancel();
const afterRevision = existsSync(cursor) ? Number(readFileSync(cursor, "utf8")) : 0;
const left = new Set(takes.filter(({ job }) => !(job.isFinal && job.revision <= afterRevision)).map(({ jobId }) => jobId));
for await (const job of left.size > 0 ? client.watch("takes", { afterRevision }) : []) {
  if (job.isFinal && left.delete(job.jobId)) console.log(job.jobId, job.state);
  writeFileSync(`${cursor}.new`, String(job.revision));
  renameSync(`${cursor}.new`, cursor);
  if (left.size === 0) break;
}
client.close();
