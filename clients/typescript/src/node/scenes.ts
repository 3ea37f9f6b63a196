/** Scenes and their files, with uploads and downloads of files of this machine. */
import { create } from "@bufbuild/protobuf";

import { AssetNotFound, SceneNotFound } from "../call-errors.js";
import { download, type DownloadOptions } from "./download.js";
import { assetOf, type FileOrBytes } from "./files.js";
import { type Asset, DownloadAssetRequestSchema, UploadInfoSchema } from "../gen/evergreen/v1/scene_pb.js";
import { type AssetName, SceneCalls, type SceneName } from "../scene-calls.js";
import type { TransferOptions } from "../transfers.js";
import { upload } from "./upload.js";

/** The calls for scenes, available as `client.scenes`. */
export class Scenes extends SceneCalls {
  /** Writes a file or bytes to a scene; sends them again if the connection is lost. Throws TransferBroken. */
  async upload(
    name: AssetName & { readonly contentType?: string; readonly overwrite?: boolean },
    source: FileOrBytes,
    options: TransferOptions = {},
  ): Promise<Asset> {
    const { projectId, sceneId, path, contentType = "", overwrite = false } = name;
    const info = create(UploadInfoSchema, { projectId, sceneId, path, contentType, overwrite });
    return upload(this.stub, info, source, this.reconnect, options);
  }

  /**
   * Reads an asset into a file, which appears when it is complete; goes on with what an earlier try left.
   *
   * Compares the CRC32C. Rejects with CallError, TransferBroken, and EEXIST where there is a file, without `overwrite`.
   */
  async download(name: AssetName, target: string, options: DownloadOptions = {}): Promise<Asset> {
    const { projectId, sceneId, path } = name;
    const request = create(DownloadAssetRequestSchema, { projectId, sceneId, path });
    return download(this.stub, request, target, this.reconnect, options);
  }

  /** Returns the asset that has these bytes, named by their digest, and uploads it if it is not there. */
  async keep(source: FileOrBytes, scene: SceneName): Promise<string> {
    const path = await assetOf(source);
    try {
      for await (const _ of this.read({ ...scene, path, limit: 1 })) return path;
    } catch (error) {
      if (!(error instanceof AssetNotFound) && !(error instanceof SceneNotFound)) throw error;
    }
    await this.upload({ ...scene, path }, source);
    return path;
  }
}
