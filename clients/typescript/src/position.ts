/** The position of a watch: its cursor, and which of the watched jobs are not final yet. */
import { create } from "@bufbuild/protobuf";

import {
  type Job,
  JobState,
  type WatchProgressRequest,
  WatchProgressRequestSchema,
  type WatchProgressResponse,
} from "./gen/evergreen/v1/video_pb.js";

/** The final states: a job does not change after them. */
export const FINAL_STATES: ReadonlySet<JobState> = new Set([
  JobState.SUCCEEDED,
  JobState.FAILED,
  JobState.CANCELLED,
  JobState.EXPIRED,
]);

/** Returns whether the job is final: it will not change any more. */
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

  /** Whether every watched job was received in a final state, if jobs alone are watched. */
  get complete(): boolean {
    return this.#request.jobIds.length > 0 && this.#pending.size === 0 && this.#request.filmIds.length === 0;
  }

  /** Whether a stream that ends well ends the watch: the service alone knows which run of a film is its last. */
  get ends(): boolean {
    return this.#request.filmIds.length > 0 && this.#pending.size === 0;
  }

  /** Whether the next stream starts without a cursor. */
  get gap(): boolean {
    return this.#gap;
  }

  /** Makes the next stream start without a cursor. Messages from before the gap are still not repeated. */
  skip(): void {
    this.#gap = true;
  }

  /** Returns the request that resumes from here. */
  resume(): WatchProgressRequest {
    return create(WatchProgressRequestSchema, {
      projectId: this.#request.projectId,
      jobIds: [...this.#pending],
      filmIds: this.#request.filmIds,
      includeFilms: this.#request.includeFilms,
      // A job may have ended in the gap, and its final state is never left out.
      includeFinished: this.#gap || this.#request.includeFinished,
      kinds: this.#request.kinds,
      ...(this.#cursor === undefined || this.#gap ? {} : { afterRevision: this.#cursor }),
    });
  }

  isNews(message: WatchProgressResponse): boolean {
    const cursor = this.#cursor ?? -1n;
    if (message.body.case === "filmEvent") return message.revision > cursor;
    if (message.body.case !== "event") return message.revision >= cursor;
    // After a resume, the service sends the final state of a watched job again, even from before the cursor.
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
