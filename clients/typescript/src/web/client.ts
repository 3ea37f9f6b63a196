/** The client of a page for daily use: requests give a handle of their job, and jobs come as values. */
import { DailyClient } from "../daily.js";
import { JobHandle as Handle } from "../handle.js";
import type { Job } from "../job.js";
import type { TransferOptions } from "../transfers.js";
import type { Scenes } from "./scenes.js";
import { type BlobOrBytes, type WebOptions, WireClient } from "./wire.js";

/** A job that was requested, or asked for by its id. */
export class JobHandle extends Handle {
  readonly #scenes: Scenes;

  constructor(wire: WireClient, job: Job) {
    super(wire, job);
    this.#scenes = wire.scenes;
  }

  /**
   * Waits until the job has succeeded, and returns its files, each held by the page: for what is large, or only shown, see
   * `client.scenes.stream` and `assetHref`.
   *
   * An interrupted download goes on where it was, and the CRC32C is compared. Rejects as `wait` does, and with TransferBroken.
   */
  async download(options: TransferOptions = {}): Promise<readonly File[]> {
    const { projectId, sceneId, outputs } = await this.wait(options.signal === undefined ? {} : { signal: options.signal });
    const files: File[] = [];
    for (const { asset } of outputs) files.push(await this.#scenes.download({ projectId, sceneId, path: asset }, options));
    return files;
  }
}

/**
 * Calls one Evergreen gateway, by default that of the page itself.
 *
 * All is as `WireClient` says, which is there as `wire`: its calls answer with the contract's messages.
 */
export class Client extends DailyClient<BlobOrBytes, WireClient, JobHandle> {
  constructor(url?: string, options: WebOptions = {}) {
    super(new WireClient(url, options));
  }

  protected override handle(job: Job): JobHandle {
    return new JobHandle(this.wire, job);
  }
}
