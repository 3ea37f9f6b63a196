/**
 * Calls a gateway with connect-es over HTTP/1.1 by each protocol that browsers have, and prints what came, a line of
 * JSON each: the protocol, and what it told of a list of models, a job's watch, an error, a deadline and a cancel.
 *
 *     node gateway.js URL TOKEN JOB_ID
 */
import { type CallOptions, createClient, Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { VideoService } from "@evergreen/video/v1/video";

const [baseUrl = "", token = "", jobId = ""] = process.argv.slice(2);
const authorized: Interceptor = (next) => (request) => {
  if (token) request.header.set("authorization", `Bearer ${token}`);
  return next(request);
};
const options = { baseUrl, httpVersion: "1.1" as const, interceptors: [authorized] };
const transports: Record<string, Transport> = {
  connect: createConnectTransport({ ...options, useBinaryFormat: true }),
  json: createConnectTransport({ ...options, useBinaryFormat: false }),
  grpcWeb: createGrpcWebTransport({ ...options, useBinaryFormat: true }),
};

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "OK";
  } catch (error) {
    const { code, details } = ConnectError.from(error);
    const names = details.map((each) => ("type" in each ? each.type : each.desc.typeName));
    return [Code[code], ...names].join(" ");
  }
}

for (const [name, transport] of Object.entries(transports)) {
  const video = createClient(VideoService, transport);
  const { models } = await video.listModels({});
  const kinds: number[] = [];
  for await (const { body } of video.watchProgress({ jobIds: [jobId], afterRevision: 0n })) {
    if (body.case === "event") kinds.push(body.value.kind);
  }
  const follow = async (options: CallOptions, seen: () => void): Promise<void> => {
    for await (const _ of video.watchProgress({ projectId: "film" }, options)) seen();
  };
  const leaving = new AbortController();
  console.log(
    JSON.stringify({
      name,
      models: models.length,
      first: kinds[0],
      last: kinds.at(-1),
      unknown: await codeOf(video.getStatus({ jobId: "0190b0a0-0000-7000-8000-000000000000" })),
      invalid: await codeOf(video.generateVideo({ projectId: "film" })),
      denied: await codeOf(video.listVideos({ projectId: "other" })),
      late: await codeOf(follow({ timeoutMs: 300 }, () => undefined)),
      left: await codeOf(follow({ signal: leaving.signal }, () => leaving.abort())),
    }),
  );
}
