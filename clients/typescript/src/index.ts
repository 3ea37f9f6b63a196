/**
 * Client of Evergreen: generates video clips, pictures, speech and sounds through one gRPC service.
 *
 *     const client = new Client();
 *     const { jobId } = await client.generate({ projectId: "p", sceneId: "s", model: "gen4_turbo", image: "a.jpg" });
 *     const job = await client.wait(jobId);
 *
 * Messages and enums are the generated ones; all of them are in `@evergreen/video/v1/video`, `/v1/scene` and `/v1/film`.
 */
export { Client, type ClientOptions } from "./node/client.js";
export type { Scenes } from "./node/scenes.js";
export type { Endpoint, TlsOptions } from "./node/transport.js";
export { type FileOrBytes, inlineMedia } from "./node/files.js";
export * from "./shared.js";
