/**
 * Watches jobs from their first event on until all are final, and prints each change as a line of JSON:
 * `[revision, jobId, kind]`, the same that a watcher in Python keeps. Mere progress and checkpoints are left out.
 *
 *     node watcher.js HOST:PORT JOB_ID…
 */
import { WireClient, EventKind, isFinal } from "@evergreen/video";

const [target = "", ...jobIds] = process.argv.slice(2);
const client = new WireClient(target, { reconnect: { maxDelayMs: 2_000, patienceMs: 120_000 } });
let final = false;
for await (const { revision, body } of client.watch({ jobIds, afterRevision: 0 })) {
  final = body.case === "event" && body.value.job !== undefined && isFinal(body.value.job);
  if (body.case !== "event" || body.value.kind === EventKind.PROGRESS) continue;
  console.log(JSON.stringify([Number(revision), body.value.job?.jobId, EventKind[body.value.kind]]));
}
if (!final) throw new Error("the watch ended without a terminal event");
