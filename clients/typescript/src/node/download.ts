/** Reads files of scenes into files of this machine. */
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import type { Client } from "@connectrpc/connect";

import { Checksum } from "../checksums.js";
import { TransferBroken } from "../errors.js";
import type { Asset, DownloadAssetRequest, SceneService } from "../gen/evergreen/v1/scene_pb.js";
import { newId } from "../ids.js";
import { read } from "../reading.js";
import type { Reconnect } from "../reconnect.js";
import { compare, type TransferOptions } from "../transfers.js";

/** Fetches an asset into a file, which appears when it is complete. Throws CallError, TransferBroken. */
export async function download(
  stub: Client<typeof SceneService>,
  request: DownloadAssetRequest,
  target: string,
  reconnect: Reconnect,
  { signal, moved }: TransferOptions,
): Promise<Asset> {
  let asset: Asset | undefined;
  let received = 0;
  const checksum = new Checksum();
  const part = join(dirname(target), `.${basename(target)}.${newId().slice(0, 8)}.part`);
  const file = await open(part, "wx");
  try {
    for await (const { body } of read(stub, request, reconnect, signal)) {
      if (body.case === "info") asset = body.value;
      if (body.case === "chunk") {
        await file.writeFile(body.value);
        checksum.extend(body.value);
        received += body.value.length;
      }
      moved?.(received, Number(asset?.sizeBytes ?? 0n));
    }
    if (asset === undefined) throw new TransferBroken(`nothing came of ${request.path}`);
    compare(asset, received, checksum);
    await file.close();
    await rename(part, target);
    return asset;
  } finally {
    await file.close();
    await rm(part, { force: true });
  }
}
