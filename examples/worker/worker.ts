/**
 * Generates a clip from each line of stdin, a few at a time, and prints a table of the results.
 *
 *     node dist/worker.js PROJECT SCENE < prompts.txt
 *
 * If it was stopped, run it again: the request ids are derived from the prompts, so no clip is paid for twice. Exits
 * with 1 if a clip failed. `EVERGREEN_ENDPOINT` is the service's host:port.
 */
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

import { Client, EvergreenError, type Job } from "@evergreen/video";

const CONCURRENCY = 4;

interface Row {
  readonly prompt: string;
  readonly clip: string;
  readonly credits: number | undefined;
  readonly problem: string;
}

const [projectId = "batch", sceneId = "scene-1"] = process.argv.slice(2);
const client = new Client(process.env["EVERGREEN_ENDPOINT"] ?? "127.0.0.1:50051");
const leaving = new AbortController();
process.once("SIGINT", () => leaving.abort(new Error("stopped; the jobs continue, run the same command again to see them")));

async function make(promptText: string): Promise<Job> {
  const requestId = createHash("sha256").update(`${sceneId}\n${promptText}`).digest("hex");
  const clip = { model: "gen4.5", ratio: "1280:720", durationSeconds: 2, promptText };
  const { jobId } = await client.generate({ projectId, sceneId, requestId, ...clip }, { signal: leaving.signal });
  return client.wait(jobId, { signal: leaving.signal });
}

async function row(prompt: string): Promise<Row> {
  try {
    const job = await make(prompt);
    return { prompt, clip: job.outputs[0]?.asset ?? "", credits: job.chargedCredits, problem: "" };
  } catch (error) {
    // The error of one clip is shown in its row; any other error ends the batch.
    if (!(error instanceof EvergreenError)) throw error;
    return { prompt, clip: "", credits: undefined, problem: error.message };
  }
}

const prompts: string[] = [];
for await (const line of createInterface({ input: process.stdin })) if (line.trim()) prompts.push(line.trim());

const rows: Row[] = [];
const next = prompts.entries();
await Promise.all(
  Array.from({ length: CONCURRENCY }, async () => {
    for (const [index, prompt] of next) rows[index] = await row(prompt);
  }),
);
console.table(rows);
client.close();
if (rows.some((each) => each.problem)) process.exitCode = 1;
