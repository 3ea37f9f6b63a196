/** What every client has, whatever carries its calls: one method per call, and `watch` and `wait`, which combine several. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Client as Stub, createClient, type Transport } from "@connectrpc/connect";

import { Audit } from "./audit.js";
import { Calls, type Options } from "./calls.js";
import { type CursorCompacted, CursorLost } from "./call-errors.js";
import { jobError } from "./errors.js";
import {
  type GenerateRequest,
  type GenerateVideoRequest,
  type GetAccountResponse,
  type GetCallerResponse,
  type Job,
  JobState,
  ListOrder,
  MediaKind,
  type Model,
  type Project,
  type SubmissionResolution,
  VideoService,
  WatchProgressRequestSchema,
  type WatchProgressResponse,
} from "./gen/evergreen/v1/video_pb.js";
import { Films } from "./films.js";
import { type Kind, numberOf, type State } from "./job.js";
import { isFinal } from "./position.js";
import type { Reconnect } from "./reconnect.js";
import { checkId, checkNames, type Names } from "./names.js";
import type { Reader } from "./inputs.js";
import { type VideoFields, videoRequest } from "./requests.js";
import {
  ALL_KINDS,
  type ImageFields,
  imageRequest,
  type SoundFields,
  soundRequest,
  type SpecFields,
  type SpeechFields,
  specRequest,
  speechRequest,
} from "./specs.js";
import { resilientWatch } from "./watch.js";
import { Webhooks } from "./webhooks/calls.js";

/** Selects what to watch; at least one of `projectId` and `jobIds` is needed, and `projectId` with `filmIds`. */
export interface Watched {
  readonly projectId?: string;
  readonly jobIds?: readonly string[];
  readonly filmIds?: readonly string[];
  /** Whether to tell of the project's films too; only without `jobIds` and `filmIds`. */
  readonly includeFilms?: boolean;
  /** The revision of the last processed message. Absent: start with snapshots; 0: from the first event. */
  readonly afterRevision?: number | bigint;
  /** Whether to send snapshots of final jobs too; only without `jobIds` and `afterRevision`. */
  readonly includeFinished?: boolean;
  /** Only jobs that make one of these; only without `jobIds`. Default: all kinds. */
  readonly kinds?: readonly (MediaKind | Kind)[];
  /** Called if events after the cursor are no longer kept, before the watch continues without them. */
  readonly onGap?: (gap: CursorCompacted) => void;
}

/** Selects the jobs of a list. */
export interface Listed {
  readonly projectId?: string;
  readonly sceneId?: string;
  readonly states?: readonly (JobState | State)[];
  /** Only jobs that make one of these. Default: all kinds. */
  readonly kinds?: readonly (MediaKind | Kind)[];
  /** Only jobs of one of these models. */
  readonly models?: readonly string[];
  /** Only jobs that have all of these labels. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Only jobs that were created at this time or later. */
  readonly createdFrom?: Date;
  /** Only jobs that were created before this time. */
  readonly createdBefore?: Date;
  /** What a job's id begins or ends with, such as the `0e450440` of a short id. */
  readonly jobIdPart?: string;
  /** Whether what was created last comes first. Default: oldest first. */
  readonly newestFirst?: boolean;
  readonly pageSize?: number;
}

const WATCHED_NAMES: Names<Watched> = {
  projectId: true,
  jobIds: true,
  filmIds: true,
  includeFilms: true,
  afterRevision: true,
  includeFinished: true,
  kinds: true,
  onGap: true,
};
const LISTED_NAMES: Names<Listed> = {
  projectId: true,
  sceneId: true,
  states: true,
  kinds: true,
  models: true,
  labels: true,
  createdFrom: true,
  createdBefore: true,
  jobIdPart: true,
  newestFirst: true,
  pageSize: true,
};

/** The calls of a client whose inputs are read from sources of a kind. */
export abstract class Core<S> {
  /** Films: plans of scripts, with a quote. */
  readonly films: Films;
  /** Webhooks: who is told by signed HTTP requests. */
  readonly webhooks: Webhooks;
  /** Who did what. */
  readonly audit: Audit;
  readonly #calls: Calls;
  readonly #videos: Stub<typeof VideoService>;
  readonly #reconnect: Reconnect;
  readonly #reader: Reader<S>;

  protected constructor(transport: Transport, calls: Calls, reconnect: Reconnect, reader: Reader<S>) {
    this.#calls = calls;
    this.#reconnect = reconnect;
    this.#reader = reader;
    this.#videos = createClient(VideoService, transport);
    this.films = new Films(transport, calls);
    this.webhooks = new Webhooks(transport, calls);
    this.audit = new Audit(transport, calls);
  }

  /**
   * Requests a clip and returns its job as soon as the service has recorded it.
   *
   * If no requestId is given, each call creates one; to be able to repeat a call whose answer was lost, give your own.
   * Inputs that have more than 3 MiB together are uploaded to the scene first. Rejects with TypeError for a name that there
   * is not, before anything is sent.
   */
  async generate(fields: VideoFields<S>, options?: Options): Promise<Job> {
    const request = await videoRequest(fields, this.#reader);
    return present((await this.#calls.call(this.#videos.generateVideo, request, options)).job);
  }

  /** Requests pictures and returns the job. Takes the fields of `ImageSpec`, with files as `references`. */
  async generateImage(fields: ImageFields<S>, options?: Options): Promise<Job> {
    return this.#generate(await imageRequest(fields, this.#reader), options);
  }

  /** Requests speech and returns the job. Takes the fields of `SpeechSpec`. */
  async generateSpeech(fields: SpeechFields<S>, options?: Options): Promise<Job> {
    return this.#generate(await speechRequest(fields, this.#reader), options);
  }

  /** Requests a sound and returns the job. Takes the fields of `SoundSpec`. */
  async generateSound(fields: SoundFields<S>, options?: Options): Promise<Job> {
    return this.#generate(await soundRequest(fields, this.#reader), options);
  }

  /** Requests what a spec says, such as `{ case: "hdr", value }`, and returns the job. For files see `inlineMedia`. */
  async generateSpec(fields: SpecFields, options?: Options): Promise<Job> {
    return this.#generate(await specRequest(fields, this.#reader), options);
  }

  /** Returns the quote of a spec, as `quote` does for a clip. */
  async quoteSpec(fields: SpecFields, options?: Options): Promise<number | undefined> {
    const request: GenerateRequest = { ...(await specRequest(fields, this.#reader)), validateOnly: true };
    return (await this.#calls.call(this.#videos.generate, request, options)).estimatedCredits;
  }

  /** Returns the most that one attempt may cost, in credits. Validates the request and creates no job. */
  async quote(fields: VideoFields<S>, options?: Options): Promise<number | undefined> {
    const request: GenerateVideoRequest = { ...(await videoRequest(fields, this.#reader)), validateOnly: true };
    return (await this.#calls.call(this.#videos.generateVideo, request, options)).estimatedCredits;
  }

  /** Returns the current state of a job, with its request. */
  async status(jobId: string, options?: Options): Promise<Job> {
    checkId("jobId", jobId);
    return present((await this.#calls.call(this.#videos.getStatus, { jobId }, options)).job);
  }

  /**
   * Yields the events and checkpoints of a project, or of some jobs and films, across lost connections and restarts.
   *
   * Each message is yielded once, in order of revision. With `jobIds` or `filmIds`, the watch ends after the final state
   * of all of them; without, it never ends. A project's films are told with `includeFilms`. To resume later, pass the
   * revision of the last processed message as `afterRevision`. Leaving the loop, or aborting the signal, cancels no job.
   * Throws CursorLost, WatchInterrupted and other errors of a call.
   *
   * If events after the cursor are no longer kept, throws CursorCompacted. With `onGap`, calls it instead and continues
   * with snapshots of the current state.
   */
  watch(watched: Watched, { signal }: Options = {}): AsyncGenerator<WatchProgressResponse, void, undefined> {
    checkNames(watched, WATCHED_NAMES);
    const { projectId = "", jobIds = [], filmIds = [], afterRevision, includeFinished = false, onGap } = watched;
    const kinds = jobIds.length > 0 || filmIds.length > 0 ? [] : kindsOf(watched.kinds ?? ALL_KINDS);
    const request = create(WatchProgressRequestSchema, {
      projectId,
      jobIds: [...jobIds],
      filmIds: [...filmIds],
      includeFilms: watched.includeFilms ?? false,
      includeFinished,
      kinds,
    });
    if (afterRevision !== undefined) request.afterRevision = BigInt(afterRevision);
    return resilientWatch(this.#videos.watchProgress, request, { reconnect: this.#reconnect, signal, onGap });
  }

  /**
   * Waits until a job has succeeded and returns it, without its request.
   *
   * Rejects with JobFailed, JobCancelled or JobExpired, and with NeedsAttention as soon as the job needs attention. Has
   * no timeout of its own: use a signal, or the job's `finishBy`.
   */
  async wait(jobId: string, options: Options = {}): Promise<Job> {
    checkId("jobId", jobId);
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
        // Only the current state matters here, so missed events do no harm.
        if (!(error instanceof CursorLost)) throw error;
      }
    }
  }

  /** Requests the cancellation of a job and returns it. It may still succeed if it was finished by then. */
  async cancel(jobId: string, options?: Options): Promise<Job> {
    checkId("jobId", jobId);
    return present((await this.#calls.call(this.#videos.cancelVideo, { jobId }, options)).job);
  }

  /** Decides how to continue with a job that needs attention, and returns the job. */
  async resolve(
    { jobId, resolution, providerTaskId = "" }: {
      readonly jobId: string;
      readonly resolution: SubmissionResolution;
      readonly providerTaskId?: string;
    },
    options?: Options,
  ): Promise<Job> {
    checkId("jobId", jobId);
    const request = { jobId, resolution, providerTaskId };
    return present((await this.#calls.call(this.#videos.resolveSubmission, request, options)).job);
  }

  /** Yields jobs of all kinds, or of some, oldest first unless `newestFirst`. Fetches one page after the other. */
  async *list(listed: Listed = {}, options?: Options): AsyncGenerator<Job, void, undefined> {
    checkNames(listed, LISTED_NAMES);
    const { createdFrom, createdBefore, newestFirst = false, states = [], kinds = ALL_KINDS, models = [] } = listed;
    const request = {
      projectId: listed.projectId ?? "",
      sceneId: listed.sceneId ?? "",
      states: states.map((each): JobState => numberOf(JobState, each, "state")),
      kinds: kindsOf(kinds),
      models: [...models],
      labels: { ...listed.labels },
      ...(createdFrom !== undefined && { createdFrom: timestampFromDate(createdFrom) }),
      ...(createdBefore !== undefined && { createdBefore: timestampFromDate(createdBefore) }),
      jobIdPart: listed.jobIdPart ?? "",
      order: newestFirst ? ListOrder.NEWEST_FIRST : ListOrder.UNSPECIFIED,
      pageSize: listed.pageSize ?? 0,
    };
    for await (const page of this.#calls.pages(this.#videos.listVideos, request, options)) yield* page.jobs;
  }

  /** Yields the caller's projects, in the order of their ids. Fetches one page after the other. */
  async *projects(
    { pageSize = 0 }: { readonly pageSize?: number } = {},
    options?: Options,
  ): AsyncGenerator<Project, void, undefined> {
    for await (const page of this.#calls.pages(this.#videos.listProjects, { pageSize }, options)) yield* page.projects;
  }

  /** Returns who the caller is to the service: its token's name, rights and projects, and the server's version. */
  async caller(options?: Options): Promise<GetCallerResponse> {
    return this.#calls.call(this.#videos.getCaller, {}, options);
  }

  /** Returns the available models, or those that make some kinds, with their bounds and prices. */
  async models(
    { kinds = ALL_KINDS, ...options }: Options & { readonly kinds?: readonly (MediaKind | Kind)[] } = {},
  ): Promise<readonly Model[]> {
    return (await this.#calls.call(this.#videos.listModels, { kinds: kindsOf(kinds) }, options)).models;
  }

  /** Returns the account's balance and limits, and what the service, or one project, has reserved and spent. */
  async account(
    { projectId = "" }: { readonly projectId?: string } = {},
    options?: Options,
  ): Promise<GetAccountResponse> {
    return this.#calls.call(this.#videos.getAccount, { projectId }, options);
  }

  async #generate(request: GenerateRequest, options?: Options): Promise<Job> {
    return present((await this.#calls.call(this.#videos.generate, request, options)).job);
  }
}

function present(job: Job | undefined): Job {
  if (job === undefined) throw new TypeError("the service answered without a job");
  return job;
}

function kindsOf(kinds: readonly (MediaKind | Kind)[]): MediaKind[] {
  return kinds.map((each): MediaKind => numberOf(MediaKind, each, "kind"));
}
