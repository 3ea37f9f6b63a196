/** Scenes and their files, for a page: files go by plain HTTP, so that `<img>` and `<video>` take them too. */
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";

import type { Calls } from "../calls.js";
import { Checksum } from "../checksums.js";
import { TransferBroken } from "../errors.js";
import { type Asset, UploadAssetResponseSchema } from "../gen/evergreen/v1/scene_pb.js";
import type { Reconnect } from "../reconnect.js";
import { newId } from "../ids.js";
import { assetName } from "../inputs.js";
import { type AssetName, SceneCalls, type SceneName } from "../scene-calls.js";
import { callError } from "../status.js";
import { compare, type TransferOptions } from "../transfers.js";
import { problemError } from "./problems.js";
import type { WebConnection } from "./transport.js";

/** What is larger is compared by its length alone: to read it twice would take longer than to send it. */
const CHECKED_BYTES = 64 * 1024 * 1024;

/** The calls for scenes, available as `client.scenes`. */
export class Scenes extends SceneCalls {
  readonly #connection: WebConnection;

  constructor(transport: Transport, calls: Calls, reconnect: Reconnect, connection: WebConnection) {
    super(transport, calls, reconnect);
    this.#connection = connection;
  }

  /** Returns the address of an asset, for `<img>`, `<video>` and links of a page of the same origin. */
  assetHref({ projectId, sceneId, path }: AssetName, { width }: { readonly width?: number } = {}): string {
    return `${this.#connection.baseUrl}${pathOf(projectId, sceneId, path)}${width === undefined ? "" : `?w=${width}`}`;
  }

  /**
   * Writes a blob or bytes to a scene. Rejects with AssetExists without `overwrite` where other bytes have the name, with
   * other CallErrors, and with TransferBroken.
   */
  async upload(
    name: AssetName & { readonly contentType?: string; readonly overwrite?: boolean },
    source: Blob | Uint8Array,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Asset> {
    const { projectId, sceneId, path, overwrite = false } = name;
    const body = source instanceof Blob ? source : new Blob([source as Uint8Array<ArrayBuffer>]);
    const contentType = name.contentType || body.type || "application/octet-stream";
    const asset = await this.#put(`${pathOf(projectId, sceneId, path)}?overwrite=${overwrite}`, body, contentType, signal);
    const checksum = new Checksum();
    if (body.size <= CHECKED_BYTES) checksum.extend(new Uint8Array(await body.arrayBuffer()));
    else if (asset.crc32c !== undefined) delete asset.crc32c;
    compare(asset, body.size, checksum);
    return asset;
  }

  /**
   * Returns an asset as a file that the page holds. An interrupted download goes on where it was. Rejects with CallError, and
   * with TransferBroken if the file was replaced meanwhile or has another checksum.
   */
  async download(name: AssetName, { signal, moved }: TransferOptions = {}): Promise<File> {
    const checksum = new Checksum();
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let info: Asset | undefined;
    let received = 0;
    for await (const { body } of this.read(name, signal === undefined ? {} : { signal })) {
      if (body.case === "info") info = body.value;
      if (body.case !== "chunk") continue;
      chunks.push(body.value as Uint8Array<ArrayBuffer>);
      checksum.extend(body.value);
      received += body.value.length;
      moved?.(received, Number(info?.sizeBytes ?? received));
    }
    if (info === undefined) throw new TransferBroken(`the service says nothing of ${name.path}`);
    compare(info, received, checksum);
    return new File(chunks, name.path.slice(name.path.lastIndexOf("/") + 1), { type: info.contentType });
  }

  /** Returns an asset's bytes as a stream, across lost connections. It fails as `download` rejects, but for the checksum. */
  stream(name: AssetName, options: { readonly signal?: AbortSignal } = {}): ReadableStream<Uint8Array> {
    const messages = this.read(name, options);
    return new ReadableStream({
      pull: async (controller) => {
        for (;;) {
          const { done, value } = await messages.next();
          if (done) return controller.close();
          if (value.body.case === "chunk") return controller.enqueue(value.body.value);
        }
      },
      cancel: async () => void (await messages.return()),
    });
  }

  /** Returns the asset that has these bytes, named by their digest, and uploads it, again if it is there. */
  async keep(source: Blob | Uint8Array, scene: SceneName): Promise<string> {
    const blob = source instanceof Blob ? source : new Blob([source as Uint8Array<ArrayBuffer>]);
    const head = new Uint8Array(await blob.slice(0, 16).arrayBuffer());
    const path = assetName(await digestOf(blob), head);
    await this.upload({ ...scene, path }, blob);
    return path;
  }

  async #put(path: string, body: Blob, contentType: string, signal: AbortSignal | undefined): Promise<Asset> {
    try {
      const headers = { "content-type": contentType };
      const answer = await this.#connection.get(path, { method: "PUT", body, headers, ...(signal && { signal }) });
      if (!answer.ok) throw await problemError(answer);
      const { asset } = fromJson(UploadAssetResponseSchema, (await answer.json()) as JsonValue, { ignoreUnknownFields: true });
      if (asset === undefined) throw new TransferBroken(`the service says nothing of ${path}`);
      return asset;
    } catch (failure) {
      signal?.throwIfAborted();
      throw failure instanceof TypeError ? callError(failure) : failure;
    }
  }
}

/** Returns the digest of a blob's bytes; a random id where pages have no digests, without TLS, or where it is too large to hold. */
async function digestOf(blob: Blob): Promise<string> {
  const { subtle } = globalThis.crypto as { readonly subtle?: typeof globalThis.crypto.subtle };
  if (subtle === undefined || blob.size > CHECKED_BYTES) return newId();
  const digest = new Uint8Array(await subtle.digest("SHA-256", await blob.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pathOf(projectId: string, sceneId: string, path: string): string {
  const parts = path.split("/").map(encodeURIComponent).join("/");
  return `/api/v1/projects/${encodeURIComponent(projectId)}/scenes/${encodeURIComponent(sceneId)}/assets/${parts}`;
}
