/** A service on the wire whose every answer a test writes beforehand. */
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { WireClient, type ClientOptions } from "@evergreen/video";
import { FilmService } from "@evergreen/video/v1/film";
import { AuditService } from "@evergreen/video/v1/audit";
import { WebhookService } from "@evergreen/video/v1/webhook";
import {
  EventKind,
  type FilmState,
  type JobState,
  JobSchema,
  VideoService,
  type WatchProgressResponse,
  WatchProgressResponseSchema,
} from "@evergreen/video/v1/video";

/** Reconnects at once, for as long as a busy machine may take. */
export const QUICK = { firstDelayMs: 5, maxDelayMs: 20, patienceMs: 30_000, random: () => 1 };

/** Serves the methods and gives a client of them. */
export async function scripted(
  t: TestContext,
  methods: Partial<ServiceImpl<typeof VideoService>>,
  options: ClientOptions = {},
  films: Partial<ServiceImpl<typeof FilmService>> = {},
  webhooks: Partial<ServiceImpl<typeof WebhookService>> = {},
  audit: Partial<ServiceImpl<typeof AuditService>> = {},
): Promise<WireClient> {
  const routes = connectNodeAdapter({
    routes: (router) =>
      router
        .service(VideoService, methods)
        .service(FilmService, films)
        .service(WebhookService, webhooks)
        .service(AuditService, audit),
  });
  const server = createServer(routes);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const client = new WireClient(`127.0.0.1:${port}`, { reconnect: QUICK, ...options });
  t.after(() => {
    client.close();
    server.close();
  });
  return client;
}

export const UNAVAILABLE = (): ConnectError => new ConnectError("as scripted", Code.Unavailable);

export function event(revision: number, jobId: string, state: JobState): WatchProgressResponse {
  const job = create(JobSchema, { jobId, state, revision: BigInt(revision) });
  const body = { case: "event" as const, value: { kind: EventKind.STAGE_CHANGED, job } };
  return create(WatchProgressResponseSchema, { revision: BigInt(revision), body });
}

export function filmEvent(revision: number, filmId: string, state: FilmState): WatchProgressResponse {
  const body = { case: "filmEvent" as const, value: { film: { filmId, state } } };
  return create(WatchProgressResponseSchema, { revision: BigInt(revision), body });
}

export function checkpoint(revision: number): WatchProgressResponse {
  return create(WatchProgressResponseSchema, { revision: BigInt(revision), body: { case: "checkpoint", value: {} } });
}

/** Waits until the client has left a call. */
export function left(context: HandlerContext): Promise<void> {
  return new Promise((resolve) => {
    if (context.signal.aborted) resolve();
    context.signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
