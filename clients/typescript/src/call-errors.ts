/**
 * The errors of calls, by the reason that the service gives.
 *
 *     CallError
 *       InvalidRequest        something is wrong with the request; `violations` names every fault
 *       RequestIdReused       the requestId belongs to another body; metadata `job_id` names its job
 *       JobDeleted            the request was carried out long ago, and its job is no longer kept
 *       NotFound
 *         JobNotFound, SceneNotFound, AssetNotFound
 *       AssetExists           a file of that path exists; choose another name, or set `overwrite`
 *       PreconditionFailed
 *         NeedsResolution, NotResolvable, PriceUnknown, CreditsExceeded, ProjectCreditsExceeded,
 *         ProviderTaskNotFound, ProviderTaskTaken, ProviderUnauthorized, SceneUnsupported, SceneBusy, UrlUnsupported, ObjectTooLarge
 *       CursorLost            events may have been missed; watch again without a cursor
 *         CursorAhead, CursorCompacted
 *       Unavailable           call again later; also a lost connection
 *         Draining, StorageUnavailable, ProviderUnavailable
 *       QueueFull             call again later, with the same requestId
 *       TooManyTransfers      call again later
 *       Unauthenticated       the token is missing or not known
 *       PermissionDenied      the token does not allow the call
 *       NotOffered            this server does not offer the call
 *       InternalError         a fault of the service; metadata `error_id` finds it in the log
 *       DeadlineExceeded      no answer in time; what was asked may have been done all the same
 *         TransferStalled
 */
import { Code, type ConnectError } from "@connectrpc/connect";

import { EvergreenError } from "./errors.js";

/** One thing wrong with a request: the field's path and what to do. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** What a status tells. */
export interface CallDetails {
  readonly code: Code;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterMs: number | undefined;
  /** What to say instead of the status's text. */
  readonly told?: string | undefined;
}

/** A call ended with an error status. `cause` is the original. */
export class CallError extends EvergreenError implements CallDetails {
  /** The status code; `Unavailable` where the connection was lost. */
  readonly code: Code;
  /** The service's own reason; empty where the status did not come from it (a lost connection, a proxy). */
  readonly reason: string;
  /** What the error is about, by name. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every fault of a request, by field. */
  readonly violations: readonly FieldViolation[];
  /** After how long the service wishes to be called again. */
  readonly retryAfterMs: number | undefined;

  constructor(cause: ConnectError, details: CallDetails) {
    const name = Code[details.code] ?? String(details.code);
    super(`${details.told ?? (cause.rawMessage || name)} (${details.reason || name})`, { cause });
    this.code = details.code;
    this.reason = details.reason;
    this.metadata = details.metadata;
    this.violations = details.violations;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** A field is missing, malformed or out of bounds; `violations` names them all. */
export class InvalidRequest extends CallError {}
/** The requestId was used with another body in this project; metadata `job_id` names its job. */
export class RequestIdReused extends CallError {}
/** The request was carried out long ago, and its job, in metadata `job_id`, is no longer kept. */
export class JobDeleted extends CallError {}
/** No such thing, or it is not yours. */
export class NotFound extends CallError {}
/** No such job, or it is not yours. */
export class JobNotFound extends NotFound {}
/** No such scene, or it is not yours. */
export class SceneNotFound extends NotFound {}
/** The scene has no such file. */
export class AssetNotFound extends NotFound {}
/** A file of that path exists, with other bytes; choose another name, or set `overwrite`. */
export class AssetExists extends CallError {}
/** The call does not fit the present state of things. */
export class PreconditionFailed extends CallError {}
/** The job needs attention, and the call cannot settle that; call `resolve`. */
export class NeedsResolution extends PreconditionFailed {}
/** The job does not, or no longer, need attention; read it with `status`. */
export class NotResolvable extends PreconditionFailed {}
/** A limit on credits is set, and the model's price is not known. */
export class PriceUnknown extends PreconditionFailed {}
/** The quote, in metadata `estimated_credits`, is above `maxCredits`. */
export class CreditsExceeded extends PreconditionFailed {}
/** The quote is above what the project has left; metadata tells `cap`, `reserved`, `spent` and `estimate`. */
export class ProjectCreditsExceeded extends PreconditionFailed {}
/** The provider knows no task of that id. */
export class ProviderTaskNotFound extends PreconditionFailed {}
/** The provider's task belongs to another job. */
export class ProviderTaskTaken extends PreconditionFailed {}
/** The provider refuses the service's key; tell the operator. */
export class ProviderUnauthorized extends PreconditionFailed {}
/** A newer version of the service wrote the scene. */
export class SceneUnsupported extends PreconditionFailed {}
/** Jobs of the scene are not final (metadata `job_id` names one), or the scene is being deleted. */
export class SceneBusy extends PreconditionFailed {}
/** The storage cannot sign URLs; download the asset instead. */
export class UrlUnsupported extends PreconditionFailed {}
/** The storage takes no file as large as this. */
export class ObjectTooLarge extends PreconditionFailed {}
/** The cursor is of no use; watch again without one, and take it that events were missed. */
export class CursorLost extends CallError {}
/** The cursor is ahead of the project: another project's, or the data was restored. */
export class CursorAhead extends CursorLost {}
/** Events after the cursor are no longer kept. */
export class CursorCompacted extends CursorLost {}
/** No usable answer for now; call again. */
export class Unavailable extends CallError {}
/** The server is stopping; call again. */
export class Draining extends Unavailable {}
/** The service's database or file storage does not answer; call again. */
export class StorageUnavailable extends Unavailable {}
/** The provider does not answer; call again. */
export class ProviderUnavailable extends Unavailable {}
/** Too many jobs wait, or too many calls are open; call again later. */
export class QueueFull extends CallError {}
/** Too many files are being transferred; call again later. */
export class TooManyTransfers extends CallError {}
/** The token is missing, not known, or no longer valid. */
export class Unauthenticated extends CallError {}
/** The token does not allow the call. */
export class PermissionDenied extends CallError {}
/** This server does not offer the call. */
export class NotOffered extends CallError {}
/** A fault of the service; metadata `error_id` finds it in its log. */
export class InternalError extends CallError {}
/** No answer came in time. What was asked may have been done all the same. */
export class DeadlineExceeded extends CallError {}
/** The service waited too long for this client, which sent or took next to nothing; call again. */
export class TransferStalled extends DeadlineExceeded {}
