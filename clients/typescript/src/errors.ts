/**
 * What can go wrong, as classes. A call's error is a `CallError` of `call-errors.ts`; what only the client can tell is
 * here.
 *
 *     EvergreenError
 *       CallError           a call ended with an error status; many kinds
 *       MediaTooLarge       the inputs are too large to be sent as bytes; nothing was sent
 *       InsecureToken       a token would have crossed the network unencrypted; nothing was sent
 *       TransferBroken      an upload or download stood still, or the bytes there are not the bytes here
 *       WatchInterrupted    a watch could not be resumed for too long
 *       JobFailed           the job is final and has not succeeded
 *         JobCancelled
 *         JobExpired
 *       NeedsAttention      whether a paid task exists is not known; call `resolve`
 *
 * A call that was left by its `AbortSignal` rejects with the signal's own reason instead.
 */
import { type Job, JobState } from "./gen/evergreen/v1/video_pb.js";

/** The root of all errors of this package. */
export class EvergreenError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The inputs given as files or bytes are larger than one request may hold. */
export class MediaTooLarge extends EvergreenError {}

/** A token was given without TLS, and the host is not this machine; set `tls`, or `insecure` to send it all the same. */
export class InsecureToken extends EvergreenError {}

/** An upload or download stood still, or the bytes there are not the bytes here; start again. */
export class TransferBroken extends EvergreenError {}

/** A stream ended or fell silent where it may not. Never leaves the package but as a `cause`. */
export class StreamBroken extends EvergreenError {}

/** A watch could not be resumed for too long; `cause` is the last fault. */
export class WatchInterrupted extends EvergreenError {
  /** The cursor to go on from, if there is one. */
  readonly revision: bigint | undefined;

  constructor(message: string, revision: bigint | undefined, cause: unknown) {
    super(message, { cause });
    this.revision = revision;
  }
}

/** The job ended without success; `job.error` tells why. */
export class JobFailed extends EvergreenError {
  readonly job: Job;

  constructor(job: Job) {
    super(describe(job));
    this.job = job;
  }
}

/** The job was cancelled. */
export class JobCancelled extends JobFailed {}

/** The job passed its `startBy` or `finishBy`. */
export class JobExpired extends JobFailed {}

/** Whether a paid task exists for the job is not known; `Client.resolve` settles it. */
export class NeedsAttention extends EvergreenError {
  readonly job: Job;

  constructor(job: Job) {
    super(describe(job));
    this.job = job;
  }
}

/** Makes the error of a job that failed or needs attention; undefined for any other job. */
export function jobError(job: Job): JobFailed | NeedsAttention | undefined {
  switch (job.state) {
    case JobState.FAILED:
      return new JobFailed(job);
    case JobState.CANCELLED:
      return new JobCancelled(job);
    case JobState.EXPIRED:
      return new JobExpired(job);
    case JobState.NEEDS_ATTENTION:
      return new NeedsAttention(job);
    default:
      return undefined;
  }
}

function describe(job: Job): string {
  const told = `job ${job.jobId} is ${JobState[job.state] ?? job.state}`;
  return job.error === undefined ? told : `${told}: ${job.error.message} (${job.error.reason})`;
}
