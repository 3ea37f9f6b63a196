/** Reads files of scenes as streams. An interrupted one resumes where it stopped. */
import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";

import { TooManyTransfers, TransferStalled, Unavailable } from "./call-errors.js";
import { StreamBroken, TransferBroken } from "./errors.js";
import {
  type Asset,
  type DownloadAssetRequest,
  DownloadAssetRequestSchema,
  type DownloadAssetResponse,
  type SceneService,
} from "./gen/evergreen/v1/scene_pb.js";
import { delayMs, type Reconnect, sleep } from "./reconnect.js";
import { receive } from "./streams.js";

/**
 * Yields an asset's description, then its bytes, across lost connections and restarts.
 *
 * Throws CallError, and TransferBroken if the file was replaced meanwhile.
 */
export async function* read(
  stub: Client<typeof SceneService>,
  request: DownloadAssetRequest,
  reconnect: Reconnect,
  signal: AbortSignal | undefined,
): AsyncGenerator<DownloadAssetResponse, void, undefined> {
  let told: Asset | undefined;
  let received = 0n;
  let failures = 0;
  let movedAt = performance.now();
  for (;;) {
    const rest = remaining(request, received);
    try {
      const messages = receive((options) => stub.downloadAsset(rest, options), reconnect.silenceMs, signal);
      for await (const message of messages) {
        if (message.body.case === "chunk") {
          received += BigInt(message.body.value.length);
          yield message;
          failures = 0;
          movedAt = performance.now();
        } else if (message.body.case === "info") {
          if (told !== undefined && !same(told, message.body.value)) {
            throw new TransferBroken(`${request.path} was replaced while it was read; start again`);
          }
          if (told === undefined) yield message;
          told ??= message.body.value;
        }
      }
      return;
    } catch (fault) {
      if (!isPassing(fault)) throw fault;
      if (told !== undefined && request.limit > 0n && received >= request.limit) return;
      failures += 1;
      const delay = delayMs(reconnect, failures, fault);
      if (performance.now() + delay - movedAt > reconnect.patienceMs) throw broken(fault);
      await sleep(delay, signal);
    }
  }
}

function remaining(request: DownloadAssetRequest, received: bigint): DownloadAssetRequest {
  const { projectId, sceneId, path, offset, limit } = request;
  return create(DownloadAssetRequestSchema, {
    projectId,
    sceneId,
    path,
    offset: offset + received,
    limit: limit > 0n ? limit - received : 0n,
  });
}

function same(before: Asset, now: Asset): boolean {
  return before.sizeBytes === now.sizeBytes && before.crc32c === now.crc32c;
}

function isPassing(fault: unknown): boolean {
  const kinds = [Unavailable, TooManyTransfers, TransferStalled, StreamBroken];
  return kinds.some((kind) => fault instanceof kind);
}

function broken(fault: unknown): unknown {
  return fault instanceof StreamBroken ? new TransferBroken(fault.message, { cause: fault }) : fault;
}
