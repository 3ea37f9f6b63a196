/**
 * Client of Evergreen for pages: the same calls as `@evergreen/video` has, over Connect, through the gateway.
 *
 *     const client = new Client();
 *     const { jobId } = await client.generate({ projectId: "p", sceneId: "s", model: "gen4_turbo", image: input.files[0] });
 *     const job = await client.wait(jobId);
 */
export { type BlobOrBytes, Client, type WebOptions } from "./client.js";
export { Live, type LiveEvent, type LiveFilmEvent, type LiveListener, type LiveOptions, type LiveState } from "./live.js";
export { problemError } from "./problems.js";
export type { Scenes } from "./scenes.js";
export type { WebEndpoint } from "./transport.js";
export type { Job, Output } from "../gen/evergreen/v1/video_pb.js";
export * from "../shared.js";
