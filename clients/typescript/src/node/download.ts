/** Reads files of scenes into files of this machine. */
import { access } from "node:fs/promises";

import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";

import { InvalidRequest } from "../call-errors.js";
import { TransferBroken } from "../errors.js";
import { type Asset, type DownloadAssetRequest, DownloadAssetRequestSchema, type SceneService } from "../gen/evergreen/v1/scene_pb.js";
import { read } from "../reading.js";
import type { Reconnect } from "../reconnect.js";
import { compare, Differs, type TransferOptions } from "../transfers.js";
import { Part } from "./part.js";

/** Options of a download. */
export interface DownloadOptions extends TransferOptions {
  /** Whether to replace a file that is there. */
  readonly overwrite?: boolean;
}

/** Fetches an asset into a file, which appears when it is complete. Rejects with CallError, TransferBroken, EEXIST. */
export async function download(
  stub: Client<typeof SceneService>,
  request: DownloadAssetRequest,
  target: string,
  reconnect: Reconnect,
  { overwrite = false, ...options }: DownloadOptions,
): Promise<Asset> {
  if (!overwrite) await checkFree(target);
  const { projectId, sceneId, path } = request;
  const part = await Part.open(target, `${projectId}/${sceneId}/${path}`);
  try {
    for (let resumed = part.size > 0; ; resumed = false) {
      try {
        const rest = create(DownloadAssetRequestSchema, { projectId, sceneId, path, offset: BigInt(part.size) });
        const asset = await fill(part, read(stub, rest, reconnect, options.signal), path, options);
        await part.become(target, overwrite);
        return asset;
      } catch (error) {
        // What was left may be of another file that had this path, or be longer than the present one.
        if (!(error instanceof Differs) && !(error instanceof InvalidRequest)) throw error;
        await part.clear();
        if (!resumed) throw error;
      }
    }
  } finally {
    await part.close();
  }
}

async function fill(
  part: Part,
  messages: ReturnType<typeof read>,
  path: string,
  { moved }: TransferOptions,
): Promise<Asset> {
  let asset: Asset | undefined;
  for await (const { body } of messages) {
    if (body.case === "info") asset = body.value;
    if (body.case === "chunk") await part.write(body.value);
    moved?.(part.size, Number(asset?.sizeBytes ?? 0n));
  }
  if (asset === undefined) throw new TransferBroken(`nothing came of ${path}`);
  compare(asset, part.size, part.checksum);
  return asset;
}

async function checkFree(target: string): Promise<void> {
  const there = await access(target).then(
    () => true,
    () => false,
  );
  if (!there) return;
  const error: NodeJS.ErrnoException = new Error(`${target} exists; name another file, or say overwrite`);
  throw Object.assign(error, { code: "EEXIST", path: target });
}
