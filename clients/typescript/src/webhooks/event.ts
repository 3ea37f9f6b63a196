/** What a webhook's request tells: the event in its body. */
import { fromJson, type JsonValue } from "@bufbuild/protobuf";

import { WebhookRejected } from "../errors.js";
import { type FilmStatus, FilmStatusSchema, JobSchema } from "../gen/evergreen/v1/video_pb.js";
import { Job } from "../job.js";

/** Something that happened to a job or a film, which is as of then. */
export interface WebhookEvent {
  /** The `webhook-id`: the same in every repeat, and for every webhook. */
  readonly messageId: string;
  /** Such as `video.succeeded`; `evergreen.ping` is a test. For one that is not known, go by the job's state. */
  readonly type: string;
  /** When it happened. */
  readonly time: Date;
  /** The project's revision. Of two events of a project, the one with the higher revision is newer. 0 for a test. */
  readonly revision: number;
  /** The job, without its request. */
  readonly job: Job | undefined;
  readonly film: FilmStatus | undefined;
  /** Whether a list of the job or film was left out, since it was too long: read it. */
  readonly truncated: boolean;
}

// Fields that are newer than this client are passed over.
const NEWER = { ignoreUnknownFields: true };

/** Returns the event in a body whose signature is good. Throws WebhookRejected. */
export function readEvent(messageId: string, body: Uint8Array): WebhookEvent {
  try {
    const told: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    const { type, timestamp, data = {} } = object(told, "the body");
    const { revision = 0, job, film, truncated } = object(data, "data");
    const time = new Date(text(timestamp, "timestamp"));
    if (Number.isNaN(time.getTime())) throw new TypeError("timestamp is no time");
    return {
      messageId,
      type: text(type, "type"),
      time,
      revision: whole(revision),
      job: job == null ? undefined : new Job(fromJson(JobSchema, job as JsonValue, NEWER)),
      film: film == null ? undefined : fromJson(FilmStatusSchema, film as JsonValue, NEWER),
      truncated: truncated === true,
    };
  } catch (cause) {
    throw new WebhookRejected(`the body is signed, but is no event: ${String(cause)}`, { cause });
  }
}

function object(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError(`${name} is no object`);
  return value as Record<string, unknown>;
}

function whole(value: unknown): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new TypeError("revision is no number");
  return number;
}

function text(value: unknown, name: string): string {
  if (typeof value !== "string") throw new TypeError(`${name} is no text`);
  return value;
}
