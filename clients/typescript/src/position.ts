/** How far a watch has come: its cursor, and which of the watched jobs are not final yet. */
import { create } from "@bufbuild/protobuf";

import {
  type Job,
  JobState,
  type WatchProgressRequest,
  WatchProgressRequestSchema,
  type WatchProgressResponse,
} from "./gen/evergreen/v1/video_pb.js";

/** The states after which nothing changes about a job. */
export const FINAL_STATES: ReadonlySet<JobState> = new Set([
  JobState.SUCCEEDED,
  JobState.FAILED,
  JobState.CANCELLED,
  JobState.EXPIRED,
]);

/** Tells whether nothing will change about the job any more. */
export function isFinal(job: Job): boolean {
  return FINAL_STATES.has(job.state);
}

export class Position {
  readonly #request: WatchProgressRequest;
  readonly #pending: Set<string>;
  #cursor: bigint | undefined;
  #gap = false;

  constructor(request: WatchProgressRequest) {
    this.#request = request;
    this.#pending = new Set(request.jobIds);
    this.#cursor = request.afterRevision;
  }

  get cursor(): bigint | undefined {
    return this.#cursor;
  }

  /** Whether every watched job was seen final; never so of a whole project. */
  get complete(): boolean {
    return this.#request.jobIds.length > 0 && this.#pending.size === 0;
  }

  /** Whether the next stream is opened without a cursor. */
  get gap(): boolean {
    return this.#gap;
  }

  /** Opens the next stream without a cursor. What was told before the gap is still not told again. */
  skip(): void {
    this.#gap = true;
  }

  /** The request that goes on from here. */
  resume(): WatchProgressRequest {
    return create(WatchProgressRequestSchema, {
      projectId: this.#request.projectId,
      jobIds: [...this.#pending],
      // A job may have ended in the gap, and its last state is never left out.
      includeFinished: this.#gap || this.#request.includeFinished,
      ...(this.#cursor === undefined || this.#gap ? {} : { afterRevision: this.#cursor }),
    });
  }

  isNews(message: WatchProgressResponse): boolean {
    const cursor = this.#cursor ?? -1n;
    if (message.body.case !== "event") return message.revision >= cursor;
    // The final state of a watched job is told again to whoever resumes, even behind the cursor.
    const job = message.body.value.job;
    return message.revision > cursor || (job !== undefined && this.#pending.has(job.jobId) && isFinal(job));
  }

  passed(message: WatchProgressResponse): void {
    this.#gap = false;
    if (this.#cursor === undefined || message.revision > this.#cursor) this.#cursor = message.revision;
    const job = message.body.case === "event" ? message.body.value.job : undefined;
    if (job !== undefined && isFinal(job)) this.#pending.delete(job.jobId);
  }
}
