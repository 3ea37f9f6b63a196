/** What the package exports for Node and for pages alike. */
export type { Options } from "./calls.js";
export * from "./call-errors.js";
export type { Listed, Watched } from "./core.js";
export type { Token } from "./endpoint.js";
export {
  EvergreenError,
  InsecureToken,
  JobCancelled,
  JobExpired,
  JobFailed,
  MediaTooLarge,
  NeedsAttention,
  TransferBroken,
  WatchInterrupted,
  WebhookRejected,
} from "./errors.js";
export type { EditFields, ExportFields, FilmName, Films, PlanFields, StartFields } from "./films.js";
export { FINAL_STATES, isFinal } from "./position.js";
export type { Reconnect } from "./reconnect.js";
export { INLINE_LIMIT, type Input } from "./inputs.js";
export type { Kind, Problem, Resolution, Stage, State } from "./job.js";
export type { Waiting } from "./settling.js";
export { type JobFields, type VideoFields } from "./requests.js";
export {
  ALL_KINDS,
  type ImageFields,
  type SoundFields,
  type Spec,
  type SpecFields,
  type SpeechFields,
} from "./specs.js";
export type { AssetName, SceneName } from "./scene-calls.js";
export type { Moved, TransferOptions } from "./transfers.js";
export type { Audit, AuditListed } from "./audit.js";
export { AuditAction, type AuditEntry } from "./gen/evergreen/v1/audit_pb.js";
export type { DeliveriesListed, Redelivered, WebhookChanges, WebhookFields, Webhooks } from "./webhooks/calls.js";
export { type Delivery, DeliveryState, type Webhook, WebhookState } from "./gen/evergreen/v1/webhook_pb.js";
export { Captions, type Film, FilmRedo, Fit, OnShotFailure, type PlanFilmResponse, ScriptFormat } from "./gen/evergreen/v1/film_pb.js";
export { type FilmEvent, FilmEventKind, FilmGate, FilmRunKind, FilmStage, FilmState, type FilmStatus } from "./gen/evergreen/v1/video_pb.js";
export type { Asset, Folder, Scene } from "./gen/evergreen/v1/scene_pb.js";
export {
  CostBasis,
  EventKind,
  type GenerateRequest,
  type GetAccountResponse,
  type GetCallerResponse,
  JobStage,
  JobState,
  type Media,
  MediaKind,
  MediaRole,
  type Model,
  OnUnknownSubmission,
  type OperationRules,
  type Project,
  Right,
  SubmissionResolution,
  type WatchProgressResponse,
} from "./gen/evergreen/v1/video_pb.js";
