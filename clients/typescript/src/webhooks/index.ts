/**
 * Webhooks, for those who receive them: needs nothing of gRPC, and runs wherever there is Web Crypto.
 *
 *     const event = await verify(body, request.headers, process.env.WEBHOOK_SECRET);
 *     console.log(event.type, event.job?.jobId);
 */
export { EvergreenError, WebhookRejected } from "../errors.js";
export type { WebhookEvent } from "./event.js";
export { type RequestHeaders, TOLERANCE_MS, verify, type VerifyOptions } from "./verification.js";
export { FilmState, type FilmStatus } from "../gen/evergreen/v1/video_pb.js";
export { Job } from "../job.js";
