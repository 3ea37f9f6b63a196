/** A handle of one job: what it was when last heard of, and what can be done with it. */
import type { Core } from "./core.js";
import { jobError } from "./errors.js";
import { SubmissionResolution } from "./gen/evergreen/v1/video_pb.js";
import { Job, numberOf, type Resolution } from "./job.js";
import { changes, settled, type Waiting } from "./settling.js";

/** The calls that handles need, whatever their client reads inputs from. */
export type Wire = Pick<Core<never>, "status" | "watch" | "cancel" | "resolve">;

/** A job that was requested, or asked for by its id. */
export class JobHandle {
  /** What was last heard of the job. */
  job: Job;
  protected readonly wire: Wire;

  constructor(wire: Wire, job: Job) {
    this.wire = wire;
    this.job = job;
  }

  /** The job's id, by which `Client.job` finds it again. */
  get jobId(): string {
    return this.job.jobId;
  }

  /** Returns the job as it is now. Rejects with CallError. */
  async refresh(): Promise<Job> {
    return this.heard(new Job(await this.wire.status(this.jobId)));
  }

  /**
   * Returns the job when it has succeeded.
   *
   * Rejects with JobFailed, JobCancelled or JobExpired, NeedsAttention as soon as the job needs attention, an error named
   * `TimeoutError` after `timeoutMs` (the job goes on), CallError, WatchInterrupted.
   */
  async wait(waiting: Waiting = {}): Promise<Job> {
    for await (const ended of settled(this.wire, [this.job], waiting)) {
      const job = this.heard(ended);
      const error = jobError(job.message);
      if (error !== undefined) throw error;
      return job;
    }
    throw new TypeError("a watch of a job ends after its final state");
  }

  /** Yields the job as it is, then at each change, until it is final. Throws CallError, WatchInterrupted. */
  async *watch({ signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Job, void, undefined> {
    for await (const job of changes(this.wire, [this.jobId], signal)) yield this.heard(job);
  }

  /** Requests the cancellation, and returns the job. It may still succeed if it was finished by then. */
  async cancel(): Promise<Job> {
    return this.heard(new Job(await this.wire.cancel(this.jobId)));
  }

  /** Decides how to continue with a job that needs attention, and returns the job. Rejects with CallError. */
  async resolve(resolution: Resolution, { providerTaskId = "" }: { readonly providerTaskId?: string } = {}): Promise<Job> {
    const decided: SubmissionResolution = numberOf(SubmissionResolution, resolution, "resolution");
    return this.heard(new Job(await this.wire.resolve({ jobId: this.jobId, resolution: decided, providerTaskId })));
  }

  /** Returns what the job does as JSON. */
  toJSON(): Readonly<Record<string, unknown>> {
    return this.job.toJSON();
  }

  /** Keeps the job, with the request that was known: what a watch tells leaves it out. */
  heard(job: Job): Job {
    const { message } = job;
    const known = this.job.message;
    if (job.model === undefined && this.job.model !== undefined) {
      if (known.request !== undefined) message.request = known.request;
      if (known.generateRequest !== undefined) message.generateRequest = known.generateRequest;
      job = new Job(message);
    }
    this.job = job;
    return job;
  }
}
