/**
 * The errors of calls, one class per reason of the service.
 *
 *     CallError
 *       InvalidRequest        the request is invalid; `violations` lists every field error
 *       RequestIdReused       the requestId was used with another body; metadata `job_id` names its job
 *       JobDeleted            the request was accepted long ago, and its job is no longer kept
 *       PlanDeleted           the request was carried out long ago, and its plan is no longer kept
 *       PlanChanged           the film's plan is another than the call names; read it, and decide again
 *       SceneTaken            a scene of the film is another film's, or has jobs
 *       RunDeleted            the request was carried out before, and its run was deleted with its film
 *       FilmChanged           the film's run is not as it was read; read it, and decide again
 *       NotFound
 *         JobNotFound, SceneNotFound, AssetNotFound, FilmNotFound, PlanNotFound, RunNotFound, WebhookNotFound, DeliveryNotFound
 *       AssetExists           a file with this path exists; choose another name, or set `overwrite`
 *       PreconditionFailed
 *         NeedsResolution, NotResolvable, PriceUnknown, CreditsExceeded, ProjectCreditsExceeded, FilmBusy, TooManyFilms, OutputMissing, FilmCreditsExceeded,
 *         ProviderTaskNotFound, ProviderTaskTaken, ProviderUnauthorized, SceneUnsupported, SceneBusy, UrlUnsupported, ObjectTooLarge,
 *         WebhooksOff, WebhookSwitchedOff
 *       CursorLost            events may have been missed; watch again without a cursor
 *         CursorAhead, CursorCompacted
 *       Unavailable           call again later; also a lost connection
 *         Draining, StorageUnavailable, ProviderUnavailable
 *       QueueFull             call again later, with the same requestId
 *       TooManyTransfers      call again later
 *       TooManyWebhooks       a project, or the service, has as many webhooks as it may have; delete some
 *       Unauthenticated       the token is missing or unknown
 *       PermissionDenied      the token does not allow the call
 *       NotOffered            this server does not offer the call
 *       InternalError         an internal error of the service; metadata `error_id` finds it in the log
 *       DeadlineExceeded      no answer in time; the request may have been carried out
 *         TransferStalled
 */
import { Code, type ConnectError } from "@connectrpc/connect";

import { EvergreenError } from "./errors.js";

/** One field error of a request: the field's path and what to do. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** The details of a status. */
export interface CallDetails {
  readonly code: Code;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterMs: number | undefined;
  /** Replaces the status's text. */
  readonly told?: string | undefined;
}

/** A call ended with an error status. `cause` is the original. */
export class CallError extends EvergreenError implements CallDetails {
  /** The status code; `Unavailable` if the connection was lost. */
  readonly code: Code;
  /** The service's reason; empty if the status did not come from the service (a lost connection, a proxy). */
  readonly reason: string;
  /** What the error is about, such as `job_id`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every field error of the request. */
  readonly violations: readonly FieldViolation[];
  /** How long the service asks the client to wait before it calls again. */
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

/** A field is missing, malformed or out of bounds; `violations` lists every field error. */
export class InvalidRequest extends CallError {}
/** The requestId was used with another body in this project; metadata `job_id` names its job. */
export class RequestIdReused extends CallError {}
/** The request was accepted long ago, and its job, in metadata `job_id`, is no longer kept. */
export class JobDeleted extends CallError {}
/** The requested object does not exist, or it is not yours. */
export class NotFound extends CallError {}
/** No such job, or it is not yours. */
export class JobNotFound extends NotFound {}
/** No such scene, or it is not yours. */
export class SceneNotFound extends NotFound {}
/** The scene has no such file. */
export class AssetNotFound extends NotFound {}
/** No such film, or it is not yours. */
export class FilmNotFound extends NotFound {}
/** The film has no such plan, or no longer keeps it. */
export class PlanNotFound extends NotFound {}
/** The film has no such run. */
export class RunNotFound extends NotFound {}
/** No such webhook, or it is not yours. */
export class WebhookNotFound extends NotFound {}
/** The webhook has no such delivery, or no longer. */
export class DeliveryNotFound extends NotFound {}
/** The request was carried out before, and its run was deleted with the film in metadata `film_id`. */
export class RunDeleted extends CallError {}
/** The film's run is not as it was read; metadata `revision` holds the present one. Read it, and decide again. */
export class FilmChanged extends CallError {}
/** The film's plan is another than the call names; metadata `plan_revision` holds it. Read it, and decide again. */
export class PlanChanged extends CallError {}
/** The request was carried out long ago, and the plan of the film in metadata `film_id` is no longer kept. */
export class PlanDeleted extends CallError {}
/** A scene of the film, in metadata `scene_id`, is another film's, or has jobs. */
export class SceneTaken extends CallError {}
/** A file with this path exists, with other bytes; choose another name, or set `overwrite`. */
export class AssetExists extends CallError {}
/** The call is not possible in the current state of the job, scene or project. */
export class PreconditionFailed extends CallError {}
/** The job needs attention, and the call cannot settle that; call `resolve`. */
export class NeedsResolution extends PreconditionFailed {}
/** The job does not need attention, or no longer does; read it with `status`. */
export class NotResolvable extends PreconditionFailed {}
/** A limit on credits is set, and the model's price is not known. */
export class PriceUnknown extends PreconditionFailed {}
/** The quote, in metadata `estimated_credits`, is above `maxCredits`. */
export class CreditsExceeded extends PreconditionFailed {}
/** A run of the film is on: wait for it, or cancel it. */
export class FilmBusy extends PreconditionFailed {}

/** The project has as many films as it may have; delete some. */
export class TooManyFilms extends PreconditionFailed {}

/** An export needs outputs that are not there, or no longer stand for the plan; the text names them. */
export class OutputMissing extends PreconditionFailed {}
/** What is to be made may cost more (`estimated_credits`) than is left of the sum (metadata `left_credits`). */
export class FilmCreditsExceeded extends PreconditionFailed {}
/** The quote exceeds the project's limit; metadata `cap`, `reserved`, `spent` and `estimate` hold the credits. */
export class ProjectCreditsExceeded extends PreconditionFailed {}
/** The provider has no task with this id. */
export class ProviderTaskNotFound extends PreconditionFailed {}
/** The provider's task belongs to another job. */
export class ProviderTaskTaken extends PreconditionFailed {}
/** The provider rejects the service's key; tell the operator. */
export class ProviderUnauthorized extends PreconditionFailed {}
/** A newer version of the service wrote the scene. */
export class SceneUnsupported extends PreconditionFailed {}
/** Jobs of the scene are not final (metadata `job_id` names one), or the scene is being deleted. */
export class SceneBusy extends PreconditionFailed {}
/** The storage cannot sign URLs; download the asset instead. */
export class UrlUnsupported extends PreconditionFailed {}
/** The file is larger than the storage allows. */
export class ObjectTooLarge extends PreconditionFailed {}
/** The operator has set up no key for webhooks. */
export class WebhooksOff extends PreconditionFailed {}
/** The webhook is switched off; switch it on with `update`. */
export class WebhookSwitchedOff extends PreconditionFailed {}
/** The cursor is invalid; watch again without one, and assume that events were missed. */
export class CursorLost extends CallError {}
/** The cursor is ahead of the project: it belongs to another project, or the data was restored. */
export class CursorAhead extends CursorLost {}
/** Events after the cursor are no longer kept. */
export class CursorCompacted extends CursorLost {}
/** The service gave no usable answer for now; call again. */
export class Unavailable extends CallError {}
/** The server is stopping; call again. */
export class Draining extends Unavailable {}
/** The service's database or file storage does not answer; call again. */
export class StorageUnavailable extends Unavailable {}
/** The provider does not answer; call again. */
export class ProviderUnavailable extends Unavailable {}
/** Too many jobs are waiting, or too many calls are open; call again later. */
export class QueueFull extends CallError {}
/** Too many files are being transferred; call again later. */
export class TooManyTransfers extends CallError {}
/** A project, or the service, has as many webhooks as it may have; delete some. */
export class TooManyWebhooks extends CallError {}
/** The token is missing, unknown, or no longer valid. */
export class Unauthenticated extends CallError {}
/** The token does not allow the call. */
export class PermissionDenied extends CallError {}
/** This server does not offer the call. */
export class NotOffered extends CallError {}
/** An internal error of the service; metadata `error_id` finds it in the service's log. */
export class InternalError extends CallError {}
/** No answer arrived in time. The request may have been carried out. */
export class DeadlineExceeded extends CallError {}
/** The service waited too long for this client, which sent or read almost nothing; call again. */
export class TransferStalled extends DeadlineExceeded {}
