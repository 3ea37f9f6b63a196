/** The client of Node for daily use: requests give a handle of their job, and jobs come as values. */
import { stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";

import type { Options } from "../calls.js";
import type { Listed, Watched } from "../core.js";
import { JobHandle as Handle } from "../handle.js";
import { Job } from "../job.js";
import { settled, type Waiting } from "../settling.js";
import type { VideoFields } from "../requests.js";
import type { ImageFields, SoundFields, SpecFields, SpeechFields } from "../specs.js";
import type { DownloadOptions } from "./download.js";
import { fromEnvironment } from "./environment.js";
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
export class Client {
  readonly wire: WireClient;

  constructor(target?: string, options: ClientOptions = {}) {
    const said = fromEnvironment(target, options, process.env);
    this.wire = new WireClient(said.target, { ...options, ...said.endpoint });
  }

  /** Scenes and their files. */
  get scenes(): WireClient["scenes"] {
    return this.wire.scenes;
  }

  /** Films: plans of scripts, with a quote. */
  get films(): WireClient["films"] {
    return this.wire.films;
  }

  /** Webhooks: who is told by signed HTTP requests. */
  get webhooks(): WireClient["webhooks"] {
    return this.wire.webhooks;
  }

  /** The record of who did what. */
  get audit(): WireClient["audit"] {
    return this.wire.audit;
  }

  /**
   * Requests a clip and returns a handle of its job as soon as the service has recorded it.
   *
   * `image` is the first frame: a file, bytes, a URL or `asset:PATH`. Inputs that have more than 3 MiB together are uploaded to the
   * scene first. If no requestId is given, each call creates one; to be able to repeat a call whose answer was lost, give your own.
   * Rejects with TypeError for a name that there is not, before anything is sent.
   */
  async generate(fields: VideoFields, options?: Options): Promise<JobHandle> {
    return this.#handle(await this.wire.generate(fields, options));
  }

  /** Requests pictures and returns a handle. Takes the fields of `ImageSpec`, with any `Input` as `references`. */
  async generateImage(fields: ImageFields, options?: Options): Promise<JobHandle> {
    return this.#handle(await this.wire.generateImage(fields, options));
  }

  /** Requests speech and returns a handle. Takes the fields of `SpeechSpec`. */
  async generateSpeech(fields: SpeechFields, options?: Options): Promise<JobHandle> {
    return this.#handle(await this.wire.generateSpeech(fields, options));
  }

  /** Requests a sound and returns a handle. Takes the fields of `SoundSpec`. */
  async generateSound(fields: SoundFields, options?: Options): Promise<JobHandle> {
    return this.#handle(await this.wire.generateSound(fields, options));
  }

  /** Requests what a spec says, such as `{ case: "hdr", value }`, and returns a handle. */
  async generateSpec(fields: SpecFields, options?: Options): Promise<JobHandle> {
    return this.#handle(await this.wire.generateSpec(fields, options));
  }

  /** Returns the most that one attempt may cost, in credits. Validates the request, uploads the same files, and creates no job. */
  quote(fields: VideoFields, options?: Options): Promise<number | undefined> {
    return this.wire.quote(fields, options);
  }

  /** Returns the quote of a spec, as `quote` does for a clip. */
  quoteSpec(fields: SpecFields, options?: Options): Promise<number | undefined> {
    return this.wire.quoteSpec(fields, options);
  }

  /** Returns a handle of a job, with its present state and its request. Rejects with JobNotFound. */
  async job(jobId: string, options?: Options): Promise<JobHandle> {
    return this.#handle(await this.wire.status(jobId, options));
  }

  /**
   * Returns all jobs, in the order given, when each is final or needs attention; `state` says how it ended.
   *
   * No failed job is thrown. Rejects with an error named `TimeoutError` after `timeoutMs`, CallError, WatchInterrupted.
   */
  async waitAll(jobs: Iterable<JobHandle | Job>, waiting: Waiting = {}): Promise<readonly Job[]> {
    const wanted = [...jobs];
    const ended = new Map<string, Job>();
    for await (const job of this.asCompleted(wanted, waiting)) ended.set(job.jobId, job);
    return wanted.map(({ jobId }) => ended.get(jobId)!);
  }

  /** Yields each job once, as soon as it is final or needs attention, whatever the order and the projects. Throws as `waitAll`. */
  async *asCompleted(jobs: Iterable<JobHandle | Job>, waiting: Waiting = {}): AsyncGenerator<Job, void, undefined> {
    const handles = new Map<string, JobHandle>();
    for (const each of jobs) handles.set(each.jobId, each instanceof JobHandle ? each : new JobHandle(this.wire, each));
    const known = [...handles.values()].map(({ job }) => job);
    for await (const job of settled(this.wire, known, waiting)) yield handles.get(job.jobId)!.heard(job);
  }

  /**
   * Yields the jobs of a project at each change, across lost connections and restarts; never ends.
   *
   * To resume later, pass the `revision` of the last job as `afterRevision`. Without it, the watch begins with all jobs that are not
   * final, and with `includeFinished` with all. More is said at `WireClient.watch`, which tells of films too.
   */
  async *watch(
    projectId: string,
    watched: Pick<Watched, "afterRevision" | "includeFinished" | "kinds" | "onGap"> = {},
    options?: Options,
  ): AsyncGenerator<Job, void, undefined> {
    for await (const { body } of this.wire.watch({ ...watched, projectId }, options)) {
      if (body.case === "event" && body.value.job !== undefined) yield new Job(body.value.job);
    }
  }

  /** Yields jobs of all kinds, or of some, oldest first unless `newestFirst`. States and kinds are words. */
  async *list(listed: Listed = {}, options?: Options): AsyncGenerator<Job, void, undefined> {
    for await (const message of this.wire.list(listed, options)) yield new Job(message);
  }

  /** Yields the caller's projects, in the order of their ids. */
  projects(...given: Parameters<WireClient["projects"]>): ReturnType<WireClient["projects"]> {
    return this.wire.projects(...given);
  }

  /** Returns who the caller is to the service: its token's name, rights and projects, and the server's version. */
  caller(options?: Options): ReturnType<WireClient["caller"]> {
    return this.wire.caller(options);
  }

  /** Returns the available models, or those that make some kinds, with their bounds and prices. */
  models(...given: Parameters<WireClient["models"]>): ReturnType<WireClient["models"]> {
    return this.wire.models(...given);
  }

  /** Returns the account's balance and limits, and what the service, or one project, has reserved and spent. */
  account(...given: Parameters<WireClient["account"]>): ReturnType<WireClient["account"]> {
    return this.wire.account(...given);
  }

  /** Returns whether the service says that it serves. Rejects with CallError if it gives no answer. */
  healthy(...given: Parameters<WireClient["healthy"]>): Promise<boolean> {
    return this.wire.healthy(...given);
  }

  /** Closes the connection, and ends all calls and watches that use it. */
  close(): void {
    this.wire.close();
  }

  #handle(message: ConstructorParameters<typeof Job>[0]): JobHandle {
    return new JobHandle(this.wire, new Job(message));
  }
}
