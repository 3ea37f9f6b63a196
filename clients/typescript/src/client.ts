/** The client: one connection to the service, one method per call, and what a call alone cannot do (watch, wait). */
import { create } from "@bufbuild/protobuf";
import { type Client as Stub, createClient } from "@connectrpc/connect";

import { Calls, type Options } from "./calls.js";
import { type CursorCompacted, CursorLost } from "./call-errors.js";
import { jobError } from "./errors.js";
import {
  type GenerateVideoRequest,
  type GetAccountResponse,
  type Job,
  type JobState,
  type Model,
  type SubmissionResolution,
  VideoService,
  WatchProgressRequestSchema,
  type WatchProgressResponse,
} from "./gen/evergreen/v1/video_pb.js";
import { isFinal } from "./position.js";
import { RECONNECT, type Reconnect } from "./reconnect.js";
import { type VideoFields, videoRequest } from "./requests.js";
import { Scenes } from "./scenes.js";
import { connect, type Connection, type Endpoint } from "./transport.js";
import { resilientWatch } from "./watch.js";

/** What a client may be told when it is made. */
export interface ClientOptions extends Endpoint {
  /** Bounds each call but a watch or transfer, retries included. Default: 30 s. */
  readonly timeoutMs?: number;
  /** How watches and transfers are resumed, where it differs from the usual. */
  readonly reconnect?: Partial<Reconnect>;
}

/** Chooses what to watch; at least one of `projectId` and `jobIds` is needed. */
export interface Watched {
  readonly projectId?: string;
  readonly jobIds?: readonly string[];
  /** The revision of the last message dealt with. Absent: begin with snapshots; 0: from the first event. */
  readonly afterRevision?: number | bigint;
  /** Whether snapshots of final jobs come too, without `jobIds` and `afterRevision`. */
  readonly includeFinished?: boolean;
  /** Is told that events after the cursor are no longer kept, before the watch goes on without them. */
  readonly onGap?: (gap: CursorCompacted) => void;
}

/** Chooses jobs of a list. */
export interface Listed {
  readonly projectId?: string;
  readonly sceneId?: string;
  readonly states?: readonly JobState[];
  readonly pageSize?: number;
}

/**
 * Talks to one Evergreen service at `host:port`.
 *
 * Calls reject with a `CallError`, and are retried where the service was unavailable; each may be repeated safely. An
 * idle client does not keep the process alive.
 */
export class Client {
  /** Scenes and their files. */
  readonly scenes: Scenes;
  readonly #connection: Connection;
  readonly #calls: Calls;
  readonly #videos: Stub<typeof VideoService>;
  readonly #reconnect: Reconnect;

  constructor(target = "127.0.0.1:50051", options: ClientOptions = {}) {
    this.#reconnect = { ...RECONNECT, ...options.reconnect };
    this.#connection = connect(target, options);
    this.#calls = new Calls(options.timeoutMs ?? 30_000, this.#reconnect);
    this.#videos = createClient(VideoService, this.#connection.transport);
    this.scenes = new Scenes(this.#connection.transport, this.#calls, this.#reconnect);
  }

  /** Ends the connection, and all calls and watches that go over it. */
  close(): void {
    this.#connection.close();
  }

  /**
   * Asks for a clip and returns its job as soon as the service has recorded it.
   *
   * A requestId is made once per call where none is given; to repeat a call whose answer was lost, give your own.
   * Rejects with MediaTooLarge before anything is sent.
   */
  async generate(fields: VideoFields, options?: Options): Promise<Job> {
    const request = await videoRequest(fields);
    return present((await this.#calls.call(this.#videos.generateVideo, request, options)).job);
  }

  /** Has a request checked and priced without making a job: the most that one attempt may cost, in credits. */
  async quote(fields: VideoFields, options?: Options): Promise<number | undefined> {
    const request: GenerateVideoRequest = { ...(await videoRequest(fields)), validateOnly: true };
    return (await this.#calls.call(this.#videos.generateVideo, request, options)).estimatedCredits;
  }

  /** Returns a job as it is now, with its request. */
  async status(jobId: string, options?: Options): Promise<Job> {
    return present((await this.#calls.call(this.#videos.getStatus, { jobId }, options)).job);
  }

  /**
   * Yields the events and checkpoints of a project, or of some jobs, through lost connections and restarts.
   *
   * Each comes once, in rising revision. With `jobIds` it ends after the final state of all of them, else never. To
   * go on later, give the revision of the last message dealt with as `afterRevision`. Leaving the loop, or aborting
   * the signal, cancels no job. Throws CursorLost, WatchInterrupted and other errors of a call.
   *
   * Where events after the cursor are no longer kept, throws CursorCompacted; or, with `onGap`, tells it and goes on
   * with snapshots of what is now.
   */
  watch(watched: Watched, { signal }: Options = {}): AsyncGenerator<WatchProgressResponse, void, undefined> {
    const { projectId = "", jobIds = [], afterRevision, includeFinished = false, onGap } = watched;
    const request = create(WatchProgressRequestSchema, { projectId, jobIds: [...jobIds], includeFinished });
    if (afterRevision !== undefined) request.afterRevision = BigInt(afterRevision);
    return resilientWatch(this.#videos.watchProgress, request, { reconnect: this.#reconnect, signal, onGap });
  }

  /**
   * Waits until a job has succeeded and returns it, without its request.
   *
   * Rejects with JobFailed, JobCancelled or JobExpired; with NeedsAttention as soon as the job does. Has no bound of
   * its own: use a signal, or the job's `finishBy`.
   */
  async wait(jobId: string, options: Options = {}): Promise<Job> {
    for (;;) {
      try {
        for await (const { body } of this.watch({ jobIds: [jobId] }, options)) {
          const job = body.case === "event" ? body.value.job : undefined;
          if (job === undefined) continue;
          const error = jobError(job);
          if (error !== undefined) throw error;
          if (isFinal(job)) return job;
        }
      } catch (error) {
        // Only the present state counts here, so missed events do no harm.
        if (!(error instanceof CursorLost)) throw error;
      }
    }
  }

  /** Asks that a job be cancelled and returns it; it may still succeed if it was finished by then. */
  async cancel(jobId: string, options?: Options): Promise<Job> {
    return present((await this.#calls.call(this.#videos.cancelVideo, { jobId }, options)).job);
  }

  /** Says what shall become of a job that needs attention. */
  async resolve(
    { jobId, resolution, providerTaskId = "" }: {
      readonly jobId: string;
      readonly resolution: SubmissionResolution;
      readonly providerTaskId?: string;
    },
    options?: Options,
  ): Promise<Job> {
    const request = { jobId, resolution, providerTaskId };
    return present((await this.#calls.call(this.#videos.resolveSubmission, request, options)).job);
  }

  /** Yields jobs, oldest first, each with its request, fetching one page after the other. */
  async *list(listed: Listed = {}, options?: Options): AsyncGenerator<Job, void, undefined> {
    const { projectId = "", sceneId = "", states = [], pageSize = 0 } = listed;
    for (let pageToken = ""; ; ) {
      const request = { projectId, sceneId, states: [...states], pageSize, pageToken };
      const page = await this.#calls.call(this.#videos.listVideos, request, options);
      yield* page.jobs;
      pageToken = page.nextPageToken;
      if (pageToken === "") return;
    }
  }

  /** Returns the models that can be asked for, with their bounds and prices. */
  async models(options?: Options): Promise<readonly Model[]> {
    return (await this.#calls.call(this.#videos.listModels, {}, options)).models;
  }

  /** Returns the account's balance and limits, and what the service, or one project, has reserved and spent. */
  async account(
    { projectId = "" }: { readonly projectId?: string } = {},
    options?: Options,
  ): Promise<GetAccountResponse> {
    return this.#calls.call(this.#videos.getAccount, { projectId }, options);
  }
}

function present(job: Job | undefined): Job {
  if (job === undefined) throw new TypeError("the service answered without a job");
  return job;
}
