/**
 * The error classes of this package. A call's error is a `CallError` of `call-errors.ts`; the errors that the client
 * itself detects are here.
 *
 *     EvergreenError
 *       CallError           a call ended with an error status; many kinds
 *       MediaTooLarge       the inputs are too large to be sent as bytes; nothing was sent
 *       WebhookRejected     a request to a receiver of webhooks is not from the service, too old, or no event
 *       InsecureToken       a token would have crossed the network unencrypted; nothing was sent
 *       TransferBroken      an upload or download stalled, or the received bytes differ from the sent bytes
 *       WatchInterrupted    a watch could not be resumed for too long
 *       JobFailed           the job is final and has not succeeded
 *         JobCancelled
 *         JobExpired
 *       NeedsAttention      it is not known whether a paid task exists; call `resolve`
 *
 * A call that its `AbortSignal` ends rejects with the signal's own reason instead.
 */
import type * as wire from "./gen/evergreen/v1/video_pb.js";
import { Job } from "./job.js";

/** The root of all errors of this package. */
export class EvergreenError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The inputs given as files or bytes are larger than one request allows. */
export class MediaTooLarge extends EvergreenError {}

/** A token was given without TLS, and the host is not this machine; set `tls`, or `insecure` to send it anyway. */
export class InsecureToken extends EvergreenError {}

/** A request to a receiver of webhooks was not made by the service, is too old, or holds no event. */
export class WebhookRejected extends EvergreenError {}

/** An upload or download stalled, or the received bytes differ from the sent bytes; start again. */
export class TransferBroken extends EvergreenError {}

/** A stream ended or fell silent unexpectedly. Leaves the package only as a `cause`. */
export class StreamBroken extends EvergreenError {}

/** A watch could not be resumed for too long; `cause` is the last error. */
export class WatchInterrupted extends EvergreenError {
  /** The cursor to resume from, if there is one. */
  readonly revision: bigint | undefined;

  constructor(message: string, revision: bigint | undefined, cause: unknown) {
    super(message, { cause });
    this.revision = revision;
  }
}

/** The job ended without success; `job.error` says why. */
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

/** It is not known whether a paid task exists for the job; `Client.resolve` settles it. */
export class NeedsAttention extends EvergreenError {
  readonly job: Job;

  constructor(job: Job) {
    super(describe(job));
    this.job = job;
  }
}

const ENDS: Readonly<Record<string, readonly [new (job: Job) => JobFailed | NeedsAttention, string]>> = {
  failed: [JobFailed, "has failed"],
  cancelled: [JobCancelled, "was cancelled"],
  expired: [JobExpired, "has expired"],
  needs_attention: [NeedsAttention, "needs attention"],
};

/** Returns the error of a job that failed or needs attention; undefined for any other job. */
export function jobError(message: wire.Job): JobFailed | NeedsAttention | undefined {
  const job = new Job(message);
  const [kind] = ENDS[job.state] ?? [];
  return kind && new kind(job);
}

function describe(job: Job): string {
  const told = job.error === undefined ? "" : `: ${job.error.message} (${job.error.reason})`;
  return `job ${job.jobId} ${ENDS[job.state]?.[1] ?? job.state}${told}`;
}
