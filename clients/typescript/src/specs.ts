/** Builds the requests for pictures, speech, sounds and all else that is no clip, from specs or plain values. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";

import type { FileOrBytes } from "./node/files.js";
import {
  type GenerateRequest,
  GenerateRequestSchema,
  type Media,
  MediaKind,
} from "./gen/evergreen/v1/video_pb.js";
import { checkNames, type Names } from "./names.js";
import { type Input, Inputs, type Reader } from "./inputs.js";
import { forJob, JOB_NAMES, type JobFields } from "./requests.js";

/** What jobs make. A service that is asked for no kinds names videos only. */
export const ALL_KINDS = [MediaKind.VIDEO, MediaKind.IMAGE, MediaKind.SPEECH, MediaKind.SOUND] as const;

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

/** Returns the request for a picture. Reads inputs, and rejects, as `videoRequest`. */
export async function imageRequest<S>(fields: ImageFields<S>, reader: Reader<S>): Promise<GenerateRequest> {
  checkNames(fields, IMAGE_NAMES);
  const { promptText, ratio = "", outputCount = 0, references, ...rest } = fields;
  const value = { promptText, ratio, outputCount, references: await inputsOf(references, new Inputs(reader, fields)) };
  return specRequest({ ...rest, operation: { case: "image", value } }, reader);
}

/** Returns the request for speech. Reads inputs, and rejects, as `videoRequest`. */
export async function speechRequest<S>(fields: SpeechFields<S>, reader: Reader<S>): Promise<GenerateRequest> {
  checkNames(fields, SPEECH_NAMES);
  const { text, voice = "", voiceReference, language = "", ...rest } = fields;
  const sound = voiceReference === undefined ? {} : { voiceReference: await new Inputs(reader, fields).read(voiceReference) };
  return specRequest({ ...rest, operation: { case: "speech", value: { text, voice, language, ...sound } } }, reader);
}

/** Returns the request for a sound. Reads inputs, and rejects, as `videoRequest`. */
export async function soundRequest<S>(fields: SoundFields<S>, reader: Reader<S>): Promise<GenerateRequest> {
  checkNames(fields, SOUND_NAMES);
  const { promptText, durationSeconds, loop = false, references, outputCount = 0, ...rest } = fields;
  const length = durationSeconds === undefined ? {} : { durationSeconds };
  const value = { promptText, loop, outputCount, references: await inputsOf(references, new Inputs(reader, fields)), ...length };
  return specRequest({ ...rest, operation: { case: "sound", value } }, reader);
}

/** Returns the request for what the spec says. Rejects as `videoRequest`. */
export async function specRequest<S>(fields: SpecFields, reader: Reader<S>): Promise<GenerateRequest> {
  checkNames(fields, SPEC_NAMES);
  const request = create(GenerateRequestSchema, forJob(fields));
  await new Inputs(reader, fields).fit(request.operation.value);
  return request;
}

async function inputsOf<S>(sources: ImageFields<S>["references"] = [], inputs: Inputs<S>): Promise<Media[]> {
  if (isList(sources)) return Promise.all(sources.map((source) => inputs.read(source)));
  return Promise.all(
    Object.entries(sources).map(async ([tag, source]) => Object.assign(await inputs.read(source), { tag })),
  );
}

function isList<T>(sources: readonly T[] | Readonly<Record<string, T>>): sources is readonly T[] {
  return Array.isArray(sources);
}
