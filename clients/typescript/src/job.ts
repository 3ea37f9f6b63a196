/** A job as plain values: states as short words, times as `Date`, and undefined for what is absent. */
import { timestampDate } from "@bufbuild/protobuf/wkt";

import * as wire from "./gen/evergreen/v1/video_pb.js";

export type State =
  | "queued"
  | "running"
  | "needs_attention"
  | "cancelling"
  | "succeeded"
  | "failed"
  | "cancelled"
  | "expired";
export type Stage = "preparing" | "waiting" | "submitting" | "throttled" | "generating" | "delivering";
export type Kind = "video" | "image" | "speech" | "sound";
export type Resolution = "resubmit" | "abandon" | "attach";

/** One delivered file: `asset` is its path in the scene. */
export interface Output {
  readonly asset: string;
  readonly contentType: string;
  readonly sizeBytes: number;
  readonly crc32c: number;
  readonly width: number | undefined;
  readonly height: number | undefined;
  readonly durationSeconds: number | undefined;
  /** The path in the scene of a JPEG of a frame near the start. */
  readonly poster: string | undefined;
}

/** Why a job failed, or what did not go as requested: one of the reasons of docs/errors.md, and a sentence. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
}

/** A job as the service told it at one time. What a newer service has beyond these words comes as its number. */
export class Job {
  readonly jobId: string;
  readonly projectId: string;
  readonly sceneId: string;
  readonly requestId: string;
  readonly kind: Kind;
  readonly state: State;
  readonly stage: Stage | undefined;
  /** How much of the current attempt is done, 0 to 1. */
  readonly progress: number;
  readonly attempt: number;
  /** The number of the change in its project: the cursor of a watch. */
  readonly revision: number;
  /** Undefined in what a watch yields, which tells no requests; so is `prompt`. */
  readonly model: string | undefined;
  readonly prompt: string | undefined;
  readonly filmId: string | undefined;
  readonly providerTaskId: string | undefined;
  readonly estimatedCredits: number | undefined;
  /** Undefined until the job is final, or if the cost is not known. */
  readonly chargedCredits: number | undefined;
  readonly outputs: readonly Output[];
  readonly warnings: readonly Problem[];
  readonly error: Problem | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly createTime: Date | undefined;
  readonly startTime: Date | undefined;
  readonly updateTime: Date | undefined;
  readonly endTime: Date | undefined;
  readonly queuePosition: number | undefined;
  readonly estimatedStartTime: Date | undefined;
  /** When the job will be generated, approximately. */
  readonly eta: Date | undefined;
  readonly #message: wire.Job;

  constructor(message: wire.Job) {
    const spec = message.generateRequest?.operation.value as { promptText?: string; text?: string } | undefined;
    this.#message = message;
    this.jobId = message.jobId;
    this.projectId = message.projectId;
    this.sceneId = message.sceneId;
    this.requestId = message.requestId;
    this.kind = (word(wire.MediaKind, message.kind) ?? "video") as Kind;
    this.state = (word(wire.JobState, message.state) ?? "queued") as State;
    this.stage = word(wire.JobStage, message.stage) as Stage | undefined;
    this.progress = message.progress;
    this.attempt = message.attempt;
    this.revision = Number(message.revision);
    this.model = (message.request ?? message.generateRequest)?.model;
    this.prompt = (message.request?.promptText ?? spec?.promptText ?? spec?.text) || undefined;
    this.filmId = message.filmId || undefined;
    this.providerTaskId = message.providerTaskId || undefined;
    this.estimatedCredits = message.estimatedCredits;
    this.chargedCredits = message.chargedCredits;
    this.outputs = message.outputs.map((each) => ({
      asset: each.asset,
      contentType: each.contentType,
      sizeBytes: Number(each.sizeBytes),
      crc32c: each.crc32c,
      width: each.width || undefined,
      height: each.height || undefined,
      durationSeconds: each.durationSeconds || undefined,
      poster: each.poster || undefined,
    }));
    this.warnings = message.warnings.map(({ code, message }) => ({ reason: code, message }));
    this.error = message.error && { reason: message.error.reason, message: message.error.message };
    this.labels = { ...message.labels };
    this.createTime = message.createTime && timestampDate(message.createTime);
    this.startTime = message.startTime && timestampDate(message.startTime);
    this.updateTime = message.updateTime && timestampDate(message.updateTime);
    this.endTime = message.endTime && timestampDate(message.endTime);
    this.queuePosition = message.queuePosition;
    this.estimatedStartTime = message.estimatedStartTime && timestampDate(message.estimatedStartTime);
    this.eta = message.estimatedEndTime && timestampDate(message.estimatedEndTime);
  }

  /** What the service sent; left out of JSON. */
  get message(): wire.Job {
    return this.#message;
  }

  /** Whether the job will not change any more. */
  get isFinal(): boolean {
    return ["succeeded", "failed", "cancelled", "expired"].includes(this.state);
  }

  /** Returns the values as JSON can hold them: times as text in ISO 8601. Never throws. */
  toJSON(): Readonly<Record<string, unknown>> {
    return { ...(this as object) };
  }
}

type Words = Readonly<Record<string | number, string | number>>;

/** Returns the short word of an enum's value, such as `succeeded`; its number if it is newer than this client. */
export function word(kind: Words, value: number): string | undefined {
  return value === 0 ? undefined : String(kind[value] ?? value).toLowerCase();
}

/** Returns the number of an enum's short word; a number as it is. Throws TypeError naming what is known. */
export function numberOf<N extends number>(kind: Words, value: N | string, what: string): N {
  if (typeof value === "number") return value;
  const known = Object.keys(kind).filter((name) => Number.isNaN(Number(name)) && name !== "UNSPECIFIED");
  if (known.includes(value.toUpperCase())) return kind[value.toUpperCase()] as N;
  throw new TypeError(`there is no ${what} ${JSON.stringify(value)}; there are ${known.join(", ").toLowerCase()}`);
}
