/**
 * Generates a clip from each line of stdin, a few at a time, and prints a table of the results, also on Ctrl-C.
 *
 *     node dist/worker.js PROJECT SCENE < prompts.txt
 *
 * To use it elsewhere, copy this folder, put the packed client (`make build`: dist/evergreen-video-0.1.0.tgz) into it, and run
 * `npm install && npm start -- PROJECT SCENE < prompts.txt`.
 *
 * If it was stopped, run it again: the request ids are derived from the prompts, so no clip is paid for twice. Exits with 1 if a
 * clip failed, with 130 if it was stopped. `EVERGREEN_ENDPOINT` is the service's HOST:PORT.
 */
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

import { Client, EvergreenError } from "@evergreen/video";

const CONCURRENCY = 4;

interface Row {
  readonly prompt: string;
  readonly clip: string;
  readonly credits: number | undefined;
  readonly problem: string;
}

const [projectId = "batch", sceneId = "scene-1"] = process.argv.slice(2);
const client = new Client();
const leaving = new AbortController();
const { signal } = leaving;
process.once("SIGINT", () => leaving.abort());

async function row(prompt: string): Promise<Row> {
  const requestId = createHash("sha256").update(`${sceneId}\n${prompt}`).digest("hex");
  const fields = { projectId, sceneId, requestId, model: "gen4.5", ratio: "1280:720", durationSeconds: 2, promptText: prompt };
  try {
    const job = await (await client.generate(fields, { signal })).wait({ signal });
    console.error(`done: ${prompt}`);
    return { prompt, clip: job.outputs[0]?.asset ?? "", credits: job.chargedCredits, problem: "" };
  } catch (error) {
    if (signal.aborted) return { prompt, clip: "", credits: undefined, problem: "goes on without this program" };
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
    for (const [index, prompt] of next) {
      if (signal.aborted) return;
      rows[index] = await row(prompt);
    }
  }),
);
client.close();
console.table(rows.filter(Boolean));
if (signal.aborted) console.error("Stopped. The jobs go on; run the same command again to see them.");
process.exitCode = signal.aborted ? 130 : rows.some((each) => each.problem) ? 1 : 0;
