/** Builds the requests for pictures, speech, sounds and all else that is no clip, from specs or plain values. */
import { create, isMessage, type MessageInitShape } from "@bufbuild/protobuf";

import type { FileOrBytes } from "./node/files.js";
import {
  type GenerateRequest,
  GenerateRequestSchema,
  type Media,
  MediaKind,
  MediaSchema,
} from "./gen/evergreen/v1/video_pb.js";
import { checkNames, type Names } from "./names.js";
import { checkInline, forJob, inlineFrom, JOB_NAMES, type JobFields, type Read } from "./requests.js";

/** What jobs make. A service that is asked for no kinds names videos only. */
export const ALL_KINDS = [MediaKind.VIDEO, MediaKind.IMAGE, MediaKind.SPEECH, MediaKind.SOUND] as const;

/** A file's path, bytes, or a `Media` with a URL or an asset. */
export type Input<S = FileOrBytes> = S | MessageInitShape<typeof MediaSchema>;

/** What is to be made: the name of a spec and the spec, such as `{ case: "hdr", value: { video } }`. */
export type Spec = NonNullable<MessageInitShape<typeof GenerateRequestSchema>["operation"]>;

/** The fields of a picture. `references` that have names are mentioned in the prompt as `@name`. */
export interface ImageFields<S = FileOrBytes> extends JobFields {
  readonly model: string;
  readonly promptText: string;
  readonly ratio?: string;
  readonly outputCount?: number;
  readonly references?: readonly Input<S>[] | Readonly<Record<string, Input<S>>>;
}

/** The fields of speech. */
export interface SpeechFields<S = FileOrBytes> extends JobFields {
  readonly model: string;
  readonly text: string;
  readonly voice?: string;
  readonly voiceReference?: Input<S>;
  readonly language?: string;
}

/** The fields of a sound. */
export interface SoundFields<S = FileOrBytes> extends JobFields {
  readonly model: string;
  readonly promptText: string;
  readonly durationSeconds?: number;
  readonly loop?: boolean;
  readonly references?: readonly Input<S>[];
  readonly outputCount?: number;
}

/** The fields of any request. Only a spec that has one model alone needs no `model`. */
export interface SpecFields extends JobFields {
  readonly model?: string;
  readonly operation: Spec;
}

const SPEC_NAMES: Names<SpecFields> = { ...JOB_NAMES, model: true, operation: true };
const IMAGE_NAMES: Names<ImageFields> = {
  ...JOB_NAMES,
  model: true,
  promptText: true,
  ratio: true,
  outputCount: true,
  references: true,
};
const SPEECH_NAMES: Names<SpeechFields> = {
  ...JOB_NAMES,
  model: true,
  text: true,
  voice: true,
  voiceReference: true,
  language: true,
};
const SOUND_NAMES: Names<SoundFields> = {
  ...JOB_NAMES,
  model: true,
  promptText: true,
  durationSeconds: true,
  loop: true,
  references: true,
  outputCount: true,
};

/** Returns the request for a picture; reads inputs. Throws MediaTooLarge, TypeError, and the errors of reading. */
export async function imageRequest<S>(fields: ImageFields<S>, read: Read<S>): Promise<GenerateRequest> {
  checkNames(fields, IMAGE_NAMES);
  const { promptText, ratio = "", outputCount = 0, references, ...rest } = fields;
  const value = { promptText, ratio, outputCount, references: await inputsOf(references, read) };
  return specRequest({ ...rest, operation: { case: "image", value } });
}

/** Returns the request for speech; reads inputs. Throws MediaTooLarge, TypeError, and the errors of reading. */
export async function speechRequest<S>(fields: SpeechFields<S>, read: Read<S>): Promise<GenerateRequest> {
  checkNames(fields, SPEECH_NAMES);
  const { text, voice = "", voiceReference, language = "", ...rest } = fields;
  const sound = voiceReference === undefined ? {} : { voiceReference: await input(voiceReference, read) };
  return specRequest({ ...rest, operation: { case: "speech", value: { text, voice, language, ...sound } } });
}

/** Returns the request for a sound; reads inputs. Throws MediaTooLarge, TypeError, and the errors of reading. */
export async function soundRequest<S>(fields: SoundFields<S>, read: Read<S>): Promise<GenerateRequest> {
  checkNames(fields, SOUND_NAMES);
  const { promptText, durationSeconds, loop = false, references, outputCount = 0, ...rest } = fields;
  const length = durationSeconds === undefined ? {} : { durationSeconds };
  const value = { promptText, loop, outputCount, references: await inputsOf(references, read), ...length };
  return specRequest({ ...rest, operation: { case: "sound", value } });
}

/** Returns the request for what the spec says. Throws MediaTooLarge, TypeError. */
export function specRequest(fields: SpecFields): GenerateRequest {
  checkNames(fields, SPEC_NAMES);
  const request = create(GenerateRequestSchema, forJob(fields));
  checkInline(within(request.operation.value));
  return request;
}

async function inputsOf<S>(sources: ImageFields<S>["references"] = [], read: Read<S>): Promise<Media[]> {
  if (isList(sources)) return Promise.all(sources.map((source) => input(source, read)));
  return Promise.all(Object.entries(sources).map(([tag, source]) => input(source, read, tag)));
}

/** Returns an input of the request's own. */
async function input<S>(source: Input<S>, read: Read<S>, tag?: string): Promise<Media> {
  const media = isBytes(source) ? await inlineFrom(read, source) : create(MediaSchema, { ...source });
  if (tag !== undefined) media.tag = tag;
  return media;
}

function isBytes<S>(source: Input<S>): source is S {
  return typeof source === "string" || [URL, Uint8Array, Blob].some((kind) => source instanceof kind);
}

function isList<T>(sources: readonly T[] | Readonly<Record<string, T>>): sources is readonly T[] {
  return Array.isArray(sources);
}

/** Yields the inputs of a spec: its own, and those in its lists and oneofs. */
function* within(value: unknown): Generator<Media, void, undefined> {
  if (isMessage(value, MediaSchema)) yield value;
  else if (typeof value === "object" && value !== null) for (const each of Object.values(value)) yield* within(each);
}
