/**
 * Client of Evergreen: generates video clips, pictures, speech and sounds through one gRPC service.
 *
 *     const client = new Client();
 *     const { jobId } = await client.generate({ projectId: "p", sceneId: "s", model: "gen4_turbo", image: "a.jpg" });
 *     const job = await client.wait(jobId);
 *
 * Messages and enums are the generated ones; all of them are in `@evergreen/video/v1/video`, `/v1/scene` and `/v1/film`.
 */
export { Client, type ClientOptions, type Listed, type Watched } from "./client.js";
export type { Options } from "./calls.js";
export * from "./call-errors.js";
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
} from "./errors.js";
export type { EditFields, FilmName, Films, PlanFields, StartFields } from "./films.js";
export { FINAL_STATES, isFinal } from "./position.js";
export type { Reconnect } from "./reconnect.js";
export { type FileOrBytes, INLINE_LIMIT, inlineMedia, type JobFields, type VideoFields } from "./requests.js";
export {
  ALL_KINDS,
  type ImageFields,
  type Input,
  type SoundFields,
  type Spec,
  type SpecFields,
  type SpeechFields,
} from "./specs.js";
export type { AssetName, SceneName, Scenes } from "./scenes.js";
export type { Moved, TransferOptions } from "./transfers.js";
export type { Endpoint, TlsOptions, Token } from "./transport.js";
export { type Film, FilmRedo, OnShotFailure, type PlanFilmResponse, ScriptFormat } from "./gen/evergreen/v1/film_pb.js";
export { type FilmEvent, FilmEventKind, FilmGate, FilmStage, FilmState, type FilmStatus } from "./gen/evergreen/v1/video_pb.js";
export type { Asset, Folder, Scene } from "./gen/evergreen/v1/scene_pb.js";
export {
  CostBasis,
  EventKind,
  type GenerateRequest,
  type GetAccountResponse,
  type GetCallerResponse,
  type Job,
  JobStage,
  JobState,
  type Media,
  MediaKind,
  MediaRole,
  type Model,
  OnUnknownSubmission,
  type OperationRules,
  type Output,
  type Project,
  Right,
  SubmissionResolution,
  type WatchProgressResponse,
} from "./gen/evergreen/v1/video_pb.js";
