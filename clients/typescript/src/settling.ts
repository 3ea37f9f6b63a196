/** Follows jobs until they are settled: final, or in need of attention. */
import { CursorLost } from "./call-errors.js";
import type { Wire } from "./handle.js";
import { Job } from "./job.js";

/** How long to wait. */
export interface Waiting {
  /** Rejects with an error named `TimeoutError` after so long. Default: without end. */
  readonly timeoutMs?: number;
  /** Ends the wait, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How many jobs one watch of the service may name. */
const MOST_WATCHED = 1000;

/** Yields the present state of each job, then each change, until all are final. Throws as `WireClient.watch`. */
export async function* changes(
  wire: Wire,
  jobIds: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<Job, void, undefined> {
  const pending = new Set(jobIds);
  while (pending.size > 0) {
    try {
      for await (const { body } of wire.watch({ jobIds: [...pending] }, signal === undefined ? {} : { signal })) {
        if (body.case !== "event" || body.value.job === undefined) continue;
        const job = new Job(body.value.job);
        if (job.isFinal) pending.delete(job.jobId);
        yield job;
      }
    } catch (error) {
      // The next watch begins with the present state, so missed events do no harm.
      if (!(error instanceof CursorLost)) throw error;
    }
  }
}

/** Yields each job once, as soon as it is final or needs attention. Throws an error named `TimeoutError`, CallError. */
export async function* settled(
  wire: Wire,
  jobs: readonly Job[],
  { timeoutMs, signal }: Waiting,
): AsyncGenerator<Job, void, undefined> {
  const left = new AbortController();
  const ends = [left.signal, ...(signal ? [signal] : []), ...(timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)])];
  const watches = chunks(jobs).map((jobIds) => settledOf(wire, jobIds, AbortSignal.any(ends)));
  const next = async (watch: AsyncGenerator<Job, void, undefined>) => ({ watch, step: await watch.next() });
  const steps = new Map(watches.map((watch) => [watch, next(watch)]));
  try {
    while (steps.size > 0) {
      const { watch, step } = await Promise.race(steps.values());
      if (step.done) steps.delete(watch);
      else {
        steps.set(watch, next(watch));
        yield step.value;
      }
    }
  } finally {
    left.abort();
    await Promise.allSettled(steps.values());
  }
}

async function* settledOf(wire: Wire, jobIds: readonly string[], signal: AbortSignal): AsyncGenerator<Job, void, undefined> {
  const pending = new Set(jobIds);
  for await (const job of changes(wire, jobIds, signal)) {
    if (!pending.has(job.jobId) || !(job.isFinal || job.state === "needs_attention")) continue;
    pending.delete(job.jobId);
    yield job;
    if (pending.size === 0) return;
  }
}

function chunks(jobs: readonly Job[]): string[][] {
  const projects = new Map<string, Set<string>>();
  for (const { projectId, jobId } of jobs) projects.set(projectId, (projects.get(projectId) ?? new Set()).add(jobId));
  return [...projects.values()].flatMap((ids) => {
    const all = [...ids];
    return Array.from({ length: Math.ceil(all.length / MOST_WATCHED) }, (_, at) =>
      all.slice(at * MOST_WATCHED, (at + 1) * MOST_WATCHED),
    );
  });
}
