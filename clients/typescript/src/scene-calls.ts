/** Scenes and their files: the calls of `SceneService` that need no file of this machine. */
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, type Transport } from "@connectrpc/connect";

import type { Calls, Options } from "./calls.js";
import {
  DownloadAssetRequestSchema,
  type DownloadAssetResponse,
  type GetAssetUrlResponse,
  type Scene,
  SceneService,
} from "./gen/evergreen/v1/scene_pb.js";
import { read } from "./reading.js";
import type { Reconnect } from "./reconnect.js";

/** Names a scene. */
export interface SceneName {
  readonly projectId: string;
  readonly sceneId: string;
}

/** Names a file of a scene; an example of `path` is `images/hero.png`. */
export interface AssetName extends SceneName {
  readonly path: string;
}

/** The calls for scenes that every client has. */
export class SceneCalls {
  protected readonly stub: Client<typeof SceneService>;
  protected readonly reconnect: Reconnect;
  readonly #calls: Calls;

  constructor(transport: Transport, calls: Calls, reconnect: Reconnect) {
    this.stub = createClient(SceneService, transport);
    this.#calls = calls;
    this.reconnect = reconnect;
  }

  /** Creates a scene, and its project if needed, and returns it. Returns an existing scene unchanged. */
  async create({ projectId, sceneId }: SceneName, options?: Options): Promise<Scene> {
    return present((await this.#calls.call(this.stub.createScene, { projectId, sceneId }, options)).scene);
  }

  /** Returns a scene with all its assets. */
  async show({ projectId, sceneId }: SceneName, options?: Options): Promise<Scene> {
    return present((await this.#calls.call(this.stub.getScene, { projectId, sceneId }, options)).scene);
  }

  /** Yields a project's scenes in the order of their ids, without their assets. */
  async *list(
    { projectId, pageSize = 0 }: { readonly projectId: string; readonly pageSize?: number },
    options?: Options,
  ): AsyncGenerator<Scene, void, undefined> {
    const request = { projectId, pageSize };
    for await (const page of this.#calls.pages(this.stub.listScenes, request, options)) yield* page.scenes;
  }

  /**
   * Deletes a scene with all its files; `force` cancels its jobs first, which may take a minute. This cannot be undone.
   * Returns the paths of files that others put there and that the storage cannot remove.
   */
  async delete(
    { projectId, sceneId, force = false }: SceneName & { readonly force?: boolean },
    options?: Options,
  ): Promise<readonly string[]> {
    return (await this.#calls.call(this.stub.deleteScene, { projectId, sceneId, force }, options)).left;
  }

  /** Yields an asset's description, then its bytes, across lost connections. A `limit` of 0 means no limit. */
  read(
    name: AssetName & { readonly offset?: number | bigint; readonly limit?: number | bigint },
    { signal }: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<DownloadAssetResponse, void, undefined> {
    const { projectId, sceneId, path, offset = 0n, limit = 0n } = name;
    const part = { offset: BigInt(offset), limit: BigInt(limit) };
    const request = create(DownloadAssetRequestSchema, { projectId, sceneId, path, ...part });
    return read(this.stub, request, this.reconnect, signal);
  }

  /** Deletes a file of a scene. This cannot be undone. */
  async deleteAsset({ projectId, sceneId, path }: AssetName, options?: Options): Promise<void> {
    await this.#calls.call(this.stub.deleteAsset, { projectId, sceneId, path }, options);
  }

  /** Returns a URL that reads an asset until it expires, by default after 15 minutes. Keep it out of logs. */
  async assetUrl(
    { projectId, sceneId, path, lifetimeMs }: AssetName & { readonly lifetimeMs?: number },
    options?: Options,
  ): Promise<GetAssetUrlResponse> {
    const lifetime = lifetimeMs === undefined ? {} : { lifetime: durationFromMs(lifetimeMs) };
    return this.#calls.call(this.stub.getAssetUrl, { projectId, sceneId, path, ...lifetime }, options);
  }
}

function present(scene: Scene | undefined): Scene {
  if (scene === undefined) throw new TypeError("the service answered without a scene");
  return scene;
}
