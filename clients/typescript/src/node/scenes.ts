/** Scenes and their files, with uploads and downloads of files of this machine. */
import { create } from "@bufbuild/protobuf";

import { download } from "./download.js";
import type { FileOrBytes } from "./files.js";
import { type Asset, DownloadAssetRequestSchema, UploadInfoSchema } from "../gen/evergreen/v1/scene_pb.js";
import { type AssetName, SceneCalls } from "../scene-calls.js";
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

  /** Reads an asset into a file, which appears when it is complete. Throws TransferBroken. */
  async download(name: AssetName, target: string, options: TransferOptions = {}): Promise<Asset> {
    const { projectId, sceneId, path } = name;
    const request = create(DownloadAssetRequestSchema, { projectId, sceneId, path });
    return download(this.stub, request, target, this.reconnect, options);
  }
}
