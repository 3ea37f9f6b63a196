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
import { INLINE_LIMIT, type Input, Inputs, type Read, type Reader } from "./inputs.js";
import { checkNames, type Names } from "./names.js";

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

/** The fields of `GenerateVideoRequest`, and `image`: the first frame, which may be any `Input`. */
export interface VideoFields<S = FileOrBytes> extends JobFields {
  readonly model: string;
  readonly promptText?: string;
  readonly image?: Input<S>;
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

/** Returns the request; reads and uploads inputs. Rejects with CallError, TransferBroken, TypeError, and the errors of reading. */
export async function videoRequest<S>(fields: VideoFields<S>, reader: Reader<S>): Promise<GenerateVideoRequest> {
  checkNames(fields, VIDEO_NAMES);
  const { image, media = [], ...rest } = fields;
  const inputs = new Inputs(reader, fields);
  const first = image === undefined ? [] : [await inputs.read(image, MediaRole.FIRST_FRAME)];
  const request = create(GenerateVideoRequestSchema, {
    ...forJob(rest),
    media: [...first, ...media.map((each) => create(MediaSchema, each))],
  });
  await inputs.fit(request.media);
  return request;
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
    const name = typeof source === "string" || source instanceof URL ? source : "the input";
    throw new MediaTooLarge(
      `inputs sent as bytes may have 3 MiB (${INLINE_LIMIT} bytes) together, and ${name} is larger than that; give the file ` +
        "itself to a call, which uploads it, an http(s) URL or a file that is already in the scene",
    );
  }
  const media = create(MediaSchema, { source: { case: "data", value: data }, role });
  if (atSeconds !== undefined) media.atSeconds = atSeconds;
  return media;
}
