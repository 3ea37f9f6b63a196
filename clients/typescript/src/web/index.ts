/**
 * Client of Evergreen for pages: the same calls as `@evergreen/video` has, over Connect, through the gateway.
 *
 *     const client = new Client();
 *     const clip = await client.generate({ projectId: "p", sceneId: "s", model: "gen4_turbo", image: input.files[0] });
 *     for await (const { state, progress } of clip.watch()) show(state, progress);
 *     const [file] = await clip.download();
 */
export { Client, JobHandle } from "./client.js";
export { type BlobOrBytes, type WebOptions, WireClient } from "./wire.js";
export { Live, type LiveEvent, type LiveFilmEvent, type LiveListener, type LiveOptions, type LiveState } from "./live.js";
export { problemError } from "./problems.js";
export type { Scenes } from "./scenes.js";
export type { WebEndpoint } from "./transport.js";
export { Job, type Output } from "../job.js";
export * from "../shared.js";
