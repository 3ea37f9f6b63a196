/**
 * Client of Evergreen: generates video clips, pictures, speech and sounds through one gRPC service.
 *
 *     const client = new Client();
 *     const clip = await client.generate({ projectId: "p", sceneId: "s", model: "gen4_turbo", image: "a.jpg" });
 *     console.log(await clip.download("clip.mp4"));
 *
 * Jobs come as values; `Job.message` is the message that each was read from, and the calls of `client.wire` answer with messages
 * alone. Messages and enums are the generated ones; all of them are in `@evergreen/video/v1/video`, `/v1/scene` and `/v1/film`.
 */
export { Client, JobHandle } from "./node/client.js";
export type { DownloadOptions } from "./node/download.js";
export { type ClientOptions, WireClient } from "./node/wire.js";
export type { Scenes } from "./node/scenes.js";
export type { Endpoint, TlsOptions } from "./node/transport.js";
export { type FileOrBytes, inlineMedia } from "./node/files.js";
export { Job, type Output } from "./job.js";
export * from "./shared.js";
