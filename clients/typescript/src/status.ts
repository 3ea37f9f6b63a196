/** Translates the failure of a call into the error class of its reason. */
import { Code, ConnectError } from "@connectrpc/connect";

import * as errors from "./call-errors.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

const DOMAIN = "evergreen.v1";

type Kind = new (cause: ConnectError, details: errors.CallDetails) => errors.CallError;

const BY_REASON: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ["INVALID_REQUEST", errors.InvalidRequest],
  ["REQUEST_ID_REUSED", errors.RequestIdReused],
  ["JOB_DELETED", errors.JobDeleted],
  ["JOB_NOT_FOUND", errors.JobNotFound],
  ["FILM_NOT_FOUND", errors.FilmNotFound],
  ["PLAN_NOT_FOUND", errors.PlanNotFound],
  ["PLAN_CHANGED", errors.PlanChanged],
  ["PLAN_DELETED", errors.PlanDeleted],
  ["SCENE_TAKEN", errors.SceneTaken],
  ["RUN_NOT_FOUND", errors.RunNotFound],
  ["RUN_DELETED", errors.RunDeleted],
  ["FILM_BUSY", errors.FilmBusy],
  ["TOO_MANY_FILMS", errors.TooManyFilms],
  ["OUTPUT_MISSING", errors.OutputMissing],
  ["FILM_CHANGED", errors.FilmChanged],
  ["FILM_CREDITS_EXCEEDED", errors.FilmCreditsExceeded],
  ["SCENE_NOT_FOUND", errors.SceneNotFound],
  ["ASSET_NOT_FOUND", errors.AssetNotFound],
  ["ASSET_EXISTS", errors.AssetExists],
  ["SCENE_UNSUPPORTED", errors.SceneUnsupported],
  ["SCENE_BUSY", errors.SceneBusy],
  ["URL_UNSUPPORTED", errors.UrlUnsupported],
  ["OBJECT_TOO_LARGE", errors.ObjectTooLarge],
  ["TOO_MANY_TRANSFERS", errors.TooManyTransfers],
  ["TRANSFER_STALLED", errors.TransferStalled],
  ["NEEDS_RESOLUTION", errors.NeedsResolution],
  ["NOT_RESOLVABLE", errors.NotResolvable],
  ["PRICE_UNKNOWN", errors.PriceUnknown],
  ["CREDITS_EXCEEDED", errors.CreditsExceeded],
  ["PROJECT_CREDITS_EXCEEDED", errors.ProjectCreditsExceeded],
  ["PROVIDER_TASK_NOT_FOUND", errors.ProviderTaskNotFound],
  ["PROVIDER_TASK_TAKEN", errors.ProviderTaskTaken],
  ["PROVIDER_UNAUTHORIZED", errors.ProviderUnauthorized],
  ["CURSOR_AHEAD", errors.CursorAhead],
  ["CURSOR_COMPACTED", errors.CursorCompacted],
  ["DRAINING", errors.Draining],
  ["STORAGE_UNAVAILABLE", errors.StorageUnavailable],
  ["PROVIDER_UNAVAILABLE", errors.ProviderUnavailable],
  ["QUEUE_FULL", errors.QueueFull],
  ["WEBHOOK_NOT_FOUND", errors.WebhookNotFound],
  ["DELIVERY_NOT_FOUND", errors.DeliveryNotFound],
  ["WEBHOOKS_OFF", errors.WebhooksOff],
  ["WEBHOOK_SWITCHED_OFF", errors.WebhookSwitchedOff],
  ["TOO_MANY_WEBHOOKS", errors.TooManyWebhooks],
  ["NOT_IMPLEMENTED", errors.NotOffered],
  ["INTERNAL", errors.InternalError],
]);

// For statuses without a reason of the service, and for reasons that are newer than this client.
const BY_CODE: ReadonlyMap<Code, Kind> = new Map<Code, Kind>([
  [Code.InvalidArgument, errors.InvalidRequest],
  [Code.NotFound, errors.NotFound],
  [Code.FailedPrecondition, errors.PreconditionFailed],
  [Code.Unavailable, errors.Unavailable],
  [Code.Unauthenticated, errors.Unauthenticated],
  [Code.PermissionDenied, errors.PermissionDenied],
  [Code.Unimplemented, errors.NotOffered],
  [Code.Internal, errors.InternalError],
  [Code.DeadlineExceeded, errors.DeadlineExceeded],
]);

// The codes with which Connect reports a connection that was lost, refused, or cut within a message.
const LOST: ReadonlySet<Code> = new Set([
  Code.Aborted,
  Code.Canceled,
  Code.Internal,
  Code.InvalidArgument,
  Code.Unknown,
]);

const ANSWERED = ["grpc-status", "content-type"] as const;

// How it reports an HTTP answer without a gRPC status. Temporary ones already have the code of a lost connection.
const HTTP_STATUS = /^HTTP (\d{3})$/;

/** Returns the typed error of a failed call, with the original as its cause. */
export function callError(failure: unknown): errors.CallError {
  if (failure instanceof errors.CallError) return failure;
  const error = ConnectError.from(failure);
  return toldError(error, read(error));
}

/** Returns the error of what the service told. */
export function toldError(error: ConnectError, details: errors.CallDetails): errors.CallError {
  const kind = BY_REASON.get(details.reason) ?? BY_CODE.get(details.code) ?? errors.CallError;
  return new kind(error, details);
}

function read(error: ConnectError): errors.CallDetails {
  const info = error.findDetails(ErrorInfoSchema).find((each) => each.domain === DOMAIN);
  const [retry] = error.findDetails(RetryInfoSchema);
  const delay = retry?.retryDelay;
  return {
    code: isLost(error) ? Code.Unavailable : error.code,
    reason: info?.reason ?? "",
    metadata: info?.metadata ?? {},
    violations: error
      .findDetails(BadRequestSchema)
      .flatMap((each) => each.fieldViolations)
      .map(({ field, description }) => ({ field, description })),
    retryAfterMs: delay === undefined ? undefined : Number(delay.seconds) * 1000 + delay.nanos / 1e6,
    told: ofProxy(error) ?? inWords(error),
  };
}

/** Returns an explanation of an answer that came from a proxy; undefined for any other answer. */
function ofProxy(error: ConnectError): string | undefined {
  const [, status] = HTTP_STATUS.exec(error.rawMessage) ?? [];
  if (status === undefined || error.metadata.has("grpc-status")) return undefined;
  const bound = status === "413" ? ": it takes no body as large as this" : "";
  return `a proxy on the way answered HTTP ${status}${bound}; see docs/proxies.md`;
}

// In the words of Node, browsers and Connect, and what they mean to people; the first that is found counts.
const CAUSES: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED|ENOENT/, ": nothing listens there"],
  [/ENOTFOUND|EAI_AGAIN/, ": its name cannot be resolved"],
  [/ALTNAME_INVALID|altnames/, ": its certificate is for another name; see `tls`"],
  [/certificate|ERR_TLS_CERT|SELF_SIGNED/i, ": its certificate is not trusted here; see `tls`"],
  [/wrong version number|EPROTO|ssl/i, ": it does not speak TLS, or another one"],
  [/EHOSTUNREACH|ENETUNREACH/, ": there is no way to it"],
  [/ETIMEDOUT/, ": it gives no answer"],
  [/stream closed with error code CANCEL/, ": it closed the connection; it may want TLS"],
  [/ECONNRESET|EPIPE|GOAWAY|http\/2 |stream closed|aborted/i, ": the connection was lost"],
];

/** Returns a sentence for people for what is not from the service; undefined where its own text is the best. */
function inWords(error: ConnectError): string | undefined {
  if (error.findDetails(ErrorInfoSchema).length > 0) return undefined;
  if (error.code === Code.DeadlineExceeded) return "no answer came in time; what was asked for may have been done all the same";
  if (!isLost(error) && error.code !== Code.Unavailable) return undefined;
  const cause = error.cause instanceof Error ? `${error.cause.message} ${(error.cause as { code?: string }).code ?? ""}` : "";
  const text = `${error.rawMessage} ${cause}`;
  const address = /ECONNREFUSED ([\d.:[\]a-f]+:\d+)/.exec(text)?.[1];
  const [, meaning = ""] = CAUSES.find(([words]) => words.test(text)) ?? [];
  return `the service${address === undefined ? "" : ` at ${address}`} cannot be reached${meaning}`;
}

/** Returns whether no status arrived at all, so that a new connection may help. */
function isLost(error: ConnectError): boolean {
  // What a service told has details, or the headers of its answer; a broken connection has neither.
  if (error.details.length > 0 || ANSWERED.some((name) => error.metadata.has(name))) return false;
  if (HTTP_STATUS.test(error.rawMessage)) return false;
  return LOST.has(error.code) || error.rawMessage.startsWith("http/2 ");
}
