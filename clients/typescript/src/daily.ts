/** The client for daily use, in Node and in pages: requests give a handle of their job, and jobs come as values. */
import type { Options } from "./calls.js";
import type { Core, Listed, Watched } from "./core.js";
import type * as wire from "./gen/evergreen/v1/video_pb.js";
import type { JobHandle } from "./handle.js";
import { Job } from "./job.js";
import type { VideoFields } from "./requests.js";
import type { SceneCalls } from "./scene-calls.js";
import { settled, type Waiting } from "./settling.js";
import type { ImageFields, SoundFields, SpecFields, SpeechFields } from "./specs.js";

/** What a client is made of: one whose calls answer with messages, and its files. */
export type Wired<S> = Core<S> & { readonly scenes: SceneCalls; close(): void };

/** The calls that both clients have; `S` is what inputs are read from, `H` the handle of a job. */
export abstract class DailyClient<S, W extends Wired<S>, H extends JobHandle> {
  /** Its calls answer with the contract's messages. */
  readonly wire: W;

  constructor(wire: W) {
    this.wire = wire;
  }

  /** Returns a handle of a job. */
  protected abstract handle(job: Job): H;

  /** Scenes and their files. */
  get scenes(): W["scenes"] {
    return this.wire.scenes;
  }

  /** Films: plans of scripts, with a quote. */
  get films(): W["films"] {
    return this.wire.films;
  }

  /** Webhooks: who is told by signed HTTP requests. */
  get webhooks(): W["webhooks"] {
    return this.wire.webhooks;
  }

  /** The record of who did what. */
  get audit(): W["audit"] {
    return this.wire.audit;
  }

  /**
   * Requests a clip and returns a handle of its job as soon as the service has recorded it.
   *
   * `image` is the first frame: a file (of a page a Blob), bytes, a URL or `asset:PATH`. Inputs that have more than 3 MiB together are uploaded to the
   * scene first. If no requestId is given, each call creates one; to be able to repeat a call whose answer was lost, give your own.
   * Rejects with TypeError for a name that there is not, before anything is sent.
   */
  async generate(fields: VideoFields<S>, options?: Options): Promise<H> {
    return this.#handled(await this.wire.generate(fields, options));
  }

  /** Requests pictures and returns a handle. Takes the fields of `ImageSpec`, with any `Input` as `references`. */
  async generateImage(fields: ImageFields<S>, options?: Options): Promise<H> {
    return this.#handled(await this.wire.generateImage(fields, options));
  }

  /** Requests speech and returns a handle. Takes the fields of `SpeechSpec`. */
  async generateSpeech(fields: SpeechFields<S>, options?: Options): Promise<H> {
    return this.#handled(await this.wire.generateSpeech(fields, options));
  }

  /** Requests a sound and returns a handle. Takes the fields of `SoundSpec`. */
  async generateSound(fields: SoundFields<S>, options?: Options): Promise<H> {
    return this.#handled(await this.wire.generateSound(fields, options));
  }

  /** Requests what a spec says, such as `{ case: "hdr", value }`, and returns a handle. */
  async generateSpec(fields: SpecFields, options?: Options): Promise<H> {
    return this.#handled(await this.wire.generateSpec(fields, options));
  }

  /** Returns the most that one attempt may cost, in credits. Validates the request, uploads the same files, and creates no job. */
  quote(fields: VideoFields<S>, options?: Options): Promise<number | undefined> {
    return this.wire.quote(fields, options);
  }

  /** Returns the quote of a spec, as `quote` does for a clip. */
  quoteSpec(fields: SpecFields, options?: Options): Promise<number | undefined> {
    return this.wire.quoteSpec(fields, options);
  }

  /** Returns a handle of a job, with its present state and its request. Rejects with JobNotFound. */
  async job(jobId: string, options?: Options): Promise<H> {
    return this.#handled(await this.wire.status(jobId, options));
  }

  /**
   * Returns all jobs, in the order given, when each is final or needs attention; `state` says how it ended.
   *
   * No failed job is thrown. Rejects with an error named `TimeoutError` after `timeoutMs`, CallError, WatchInterrupted.
   */
  async waitAll(jobs: Iterable<H | Job>, waiting: Waiting = {}): Promise<readonly Job[]> {
    const wanted = [...jobs];
    const ended = new Map<string, Job>();
    for await (const job of this.asCompleted(wanted, waiting)) ended.set(job.jobId, job);
    return wanted.map(({ jobId }) => ended.get(jobId)!);
  }

  /** Yields each job once, as soon as it is final or needs attention, whatever the order and the projects. Throws as `waitAll`. */
  async *asCompleted(jobs: Iterable<H | Job>, waiting: Waiting = {}): AsyncGenerator<Job, void, undefined> {
    const handles = new Map<string, H>();
    for (const each of jobs) handles.set(each.jobId, each instanceof Job ? this.handle(each) : each);
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
  projects(...given: Parameters<Core<S>["projects"]>): ReturnType<Core<S>["projects"]> {
    return this.wire.projects(...given);
  }

  /** Returns who the caller is to the service: its token's name, rights and projects, and the server's version. */
  caller(options?: Options): ReturnType<Core<S>["caller"]> {
    return this.wire.caller(options);
  }

  /** Returns the available models, or those that make some kinds, with their bounds and prices. */
  models(...given: Parameters<Core<S>["models"]>): ReturnType<Core<S>["models"]> {
    return this.wire.models(...given);
  }

  /** Returns the account's balance and limits, and what the service, or one project, has reserved and spent. */
  account(...given: Parameters<Core<S>["account"]>): ReturnType<Core<S>["account"]> {
    return this.wire.account(...given);
  }

  /** Ends all calls and watches, and closes what they use. */
  close(): void {
    this.wire.close();
  }

  #handled(message: wire.Job): H {
    return this.handle(new Job(message));
  }
}
