/**
 * Builds the request for a clip from plain values. How inputs are read is for whoever calls: Node has files, a page has blobs.
 *
 * Only what could not be sent is validated here: the service knows the models and reports every field error.
 */
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";

import { MediaTooLarge } from "./errors.js";
import type { FileOrBytes } from "./node/files.js";
import {
  type GenerateVideoRequest,
  GenerateVideoRequestSchema,
  type Media,
  MediaRole,
  MediaSchema,
  type OnUnknownSubmission,
} from "./gen/evergreen/v1/video_pb.js";
import { newId } from "./ids.js";
import { checkNames, type Names } from "./names.js";

/** The maximum number of bytes of all inputs that are sent as bytes, together. */
export const INLINE_LIMIT = 3 * 1024 * 1024;

/** Returns at most `limit` bytes of a source; all of those that are in memory already. */
export type Read<S> = (source: S, limit: number) => Promise<Uint8Array>;

/**
 * The fields that all requests have, whatever they generate.
 *
 * For omitted fields, the service uses its documented defaults. A `requestId` is generated if absent.
 */
export interface JobFields {
  readonly projectId: string;
  readonly sceneId: string;
  readonly requestId?: string;
  readonly seed?: number | bigint;
  readonly options?: JsonObject;
  readonly maxCredits?: number;
  readonly maxAttempts?: number;
  readonly onUnknownSubmission?: OnUnknownSubmission;
  readonly priority?: number;
  readonly startBy?: Date;
  readonly finishBy?: Date;
  readonly labels?: Readonly<Record<string, string>>;
}

/** The fields of `GenerateVideoRequest`, and `image`: the first frame, as a file's path or as bytes. */
export interface VideoFields<S = FileOrBytes> extends JobFields {
  readonly model: string;
  readonly promptText?: string;
  readonly image?: S;
  readonly media?: readonly MessageInitShape<typeof MediaSchema>[];
  readonly ratio?: string;
  readonly resolution?: string;
  readonly durationSeconds?: number;
}

/** The names of the fields that all requests have. */
export const JOB_NAMES: Names<JobFields> = {
  projectId: true,
  sceneId: true,
  requestId: true,
  seed: true,
  options: true,
  maxCredits: true,
  maxAttempts: true,
  onUnknownSubmission: true,
  priority: true,
  startBy: true,
  finishBy: true,
  labels: true,
};
const VIDEO_NAMES: Names<VideoFields> = {
  ...JOB_NAMES,
  model: true,
  promptText: true,
  image: true,
  media: true,
  ratio: true,
  resolution: true,
  durationSeconds: true,
};

/** Returns the request; reads the image. Throws MediaTooLarge, TypeError, and the errors of reading. */
export async function videoRequest<S>(fields: VideoFields<S>, read: Read<S>): Promise<GenerateVideoRequest> {
  checkNames(fields, VIDEO_NAMES);
  const { image, media = [], ...rest } = fields;
  const first = image === undefined ? [] : [await inlineFrom(read, image, MediaRole.FIRST_FRAME)];
  const inputs = [...first, ...media.map((each) => create(MediaSchema, each))];
  checkInline(inputs);
  return create(GenerateVideoRequestSchema, { ...forJob(rest), media: inputs });
}

/** Returns the fields that all requests have, as messages hold them, and the others as they are. */
export function forJob<T extends JobFields>(fields: T) {
  const { seed, startBy, finishBy, labels = {}, requestId = newId(), ...rest } = fields;
  return {
    ...rest,
    requestId,
    labels: { ...labels },
    ...(seed !== undefined && { seed: BigInt(seed) }),
    ...(startBy !== undefined && { startBy: timestampFromDate(startBy) }),
    ...(finishBy !== undefined && { finishBy: timestampFromDate(finishBy) }),
  };
}

/** Returns an input with the bytes of a source. Throws MediaTooLarge, and the errors of reading. */
export async function inlineFrom<S>(read: Read<S>, source: S, role = MediaRole.UNSPECIFIED, atSeconds?: number): Promise<Media> {
  const data = await read(source, INLINE_LIMIT + 1);
  if (data.length > INLINE_LIMIT) {
    throw tooLarge(`${typeof source === "string" || source instanceof URL ? source : "the input"} is larger than that`);
  }
  const media = create(MediaSchema, { source: { case: "data", value: data }, role });
  if (atSeconds !== undefined) media.atSeconds = atSeconds;
  return media;
}

/** Throws MediaTooLarge if inputs have more bytes together than one request may have. */
export function checkInline(media: Iterable<Media>): void {
  let total = 0;
  for (const { source } of media) total += source.case === "data" ? source.value.length : 0;
  if (total > INLINE_LIMIT) throw tooLarge(`these have ${total}`);
}

function tooLarge(what: string): MediaTooLarge {
  return new MediaTooLarge(
    `inputs sent as bytes may have 3 MiB (${INLINE_LIMIT} bytes) together, and ${what}; give an http(s) URL or a file ` +
      "that is already in the scene (an asset) instead, or make the picture smaller",
  );
}
