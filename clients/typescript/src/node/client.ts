/** The client of Node for daily use: requests give a handle of their job, and jobs come as values. */
import { stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";

import { DailyClient } from "../daily.js";
import { JobHandle as Handle } from "../handle.js";
import type { Job } from "../job.js";
import type { DownloadOptions } from "./download.js";
import { fromEnvironment } from "./environment.js";
import type { FileOrBytes } from "./files.js";
import type { Scenes } from "./scenes.js";
import { type ClientOptions, WireClient } from "./wire.js";

/** A job that was requested, or asked for by its id. */
export class JobHandle extends Handle {
  readonly #scenes: Scenes;

  constructor(wire: WireClient, job: Job) {
    super(wire, job);
    this.#scenes = wire.scenes;
  }

  /**
   * Waits until the job has succeeded, copies its files to this machine, and returns where they are.
   *
   * `target` is a folder, or the path of the file; of several, the others get a number: `fox.png`, `fox-2.png`. An interrupted
   * download goes on where it was, also in another process, and the CRC32C is compared. Rejects as `wait` does, with
   * TransferBroken, and with EEXIST where there is a file, without `overwrite`.
   */
  async download(target: string, options: DownloadOptions = {}): Promise<readonly string[]> {
    const { projectId, sceneId, outputs } = await this.wait(options.signal === undefined ? {} : { signal: options.signal });
    const folder = await stat(target).then(
      (found) => found.isDirectory(),
      () => false,
    );
    const end = extname(target);
    const places = outputs.map(({ asset }, at) => {
      if (folder) return { asset, file: join(target, basename(asset)) };
      return { asset, file: at === 0 ? target : `${target.slice(0, target.length - end.length)}-${at + 1}${end}` };
    });
    for (const { asset, file } of places) await this.#scenes.download({ projectId, sceneId, path: asset }, file, options);
    return places.map(({ file }) => file);
  }
}

/**
 * Connects to one Evergreen service at `host:port`.
 *
 * Without a `target`, `token` or `tls`, the environment says them: EVERGREEN_ENDPOINT, EVERGREEN_TOKEN or EVERGREEN_TOKEN_FILE,
 * EVERGREEN_TLS, EVERGREEN_TLS_CA, EVERGREEN_TLS_CLIENT_CERT and EVERGREEN_TLS_CLIENT_KEY. All else is as `WireClient` says, which
 * is there as `wire`: its calls answer with the contract's messages.
 */
export class Client extends DailyClient<FileOrBytes, WireClient, JobHandle> {
  constructor(target?: string, options: ClientOptions = {}) {
    const said = fromEnvironment(target, options, process.env);
    super(new WireClient(said.target, { ...options, ...said.endpoint }));
  }

  /** Returns whether the service says that it serves. Rejects with CallError if it gives no answer. */
  healthy(...given: Parameters<WireClient["healthy"]>): Promise<boolean> {
    return this.wire.healthy(...given);
  }

  protected override handle(job: Job): JobHandle {
    return new JobHandle(this.wire, job);
  }
}
