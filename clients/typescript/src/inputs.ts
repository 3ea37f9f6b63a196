/** Inputs of requests: files, bytes, URLs and assets. What is too large for a request is uploaded to its scene first. */
import { create, isMessage, type MessageInitShape } from "@bufbuild/protobuf";

import { type Media, type MediaRole, MediaSchema } from "./gen/evergreen/v1/video_pb.js";
import type { SceneName } from "./scene-calls.js";

/** The maximum number of bytes of all inputs that are sent as bytes, together. */
export const INLINE_LIMIT = 3 * 1024 * 1024;

/** Returns at most `limit` bytes of a source; all of those that are in memory already. */
export type Read<S> = (source: S, limit: number) => Promise<Uint8Array>;

/** How a client reads its sources. */
export interface Reader<S> {
  readonly read: Read<S>;
  /** Returns the path of the asset that has these bytes in the scene, which may be there from an earlier try. */
  upload(source: S | Uint8Array, scene: SceneName): Promise<string>;
}

/** A source, an http(s) URL or `asset:PATH` for a file of the scene, or `Media`. */
export type Input<S> = S | string | URL | MessageInitShape<typeof MediaSchema>;

/** Makes the inputs of one request, whose scene gets what is too large for it. */
export class Inputs<S> {
  readonly #reader: Reader<S>;
  readonly #scene: SceneName;

  constructor(reader: Reader<S>, { projectId, sceneId }: SceneName) {
    this.#reader = reader;
    this.#scene = { projectId, sceneId };
  }

  /** Returns an input. Rejects with CallError, TransferBroken, TypeError, and the errors of reading. */
  async read(source: Input<S>, role?: MediaRole): Promise<Media> {
    const media = create(MediaSchema, (await this.#named(source)) ?? (await this.#sent(source as S)));
    if (role !== undefined) media.role ||= role;
    return media;
  }

  /** Uploads the largest of the inputs that are bytes, until the others fit in one request together. */
  async fit(value: unknown): Promise<void> {
    const inline = [...within(value)].flatMap((media) => (media.source.case === "data" ? [{ media, data: media.source.value }] : []));
    inline.sort((one, other) => one.data.length - other.data.length);
    let total = inline.reduce((sum, { data }) => sum + data.length, 0);
    while (total > INLINE_LIMIT) {
      const { media, data } = inline.pop()!;
      total -= data.length;
      media.source = { case: "asset", value: await this.#reader.upload(data, this.#scene) };
    }
  }

  async #sent(source: S): Promise<MessageInitShape<typeof MediaSchema>> {
    const data = await this.#reader.read(source, INLINE_LIMIT + 1);
    if (data.length <= INLINE_LIMIT) return { source: { case: "data", value: data } };
    return { source: { case: "asset", value: await this.#reader.upload(source, this.#scene) } };
  }

  async #named(source: Input<S>): Promise<MessageInitShape<typeof MediaSchema> | undefined> {
    if (source instanceof URL && source.protocol === "file:") return undefined;
    const text = source instanceof URL ? source.href : source;
    if (typeof text === "string") return named(text);
    if (typeof text !== "object" || text === null) throw new TypeError(`an input is a file, bytes, a URL or an asset, not ${typeof text}`);
    const isBytes = [Uint8Array, Blob].some((kind) => text instanceof kind);
    return isBytes ? undefined : (text as MessageInitShape<typeof MediaSchema>);
  }
}

function named(text: string): MessageInitShape<typeof MediaSchema> | undefined {
  const [, scheme, slashes] = /^([A-Za-z][A-Za-z0-9+.-]+):(\/\/)?/.exec(text) ?? [];
  if (scheme === undefined) return undefined;
  if (/^https?$/i.test(scheme) && slashes !== undefined) return { source: { case: "uri", value: text } };
  if (scheme.toLowerCase() === "asset") return { source: { case: "asset", value: text.slice("asset:".length) } };
  throw new TypeError(`an input is a file, an http(s) URL or asset:PATH, not ${JSON.stringify(text.slice(0, 80))}; a file of that name is ./…`);
}

/** Yields the inputs of a request: its own, and those in its lists and oneofs. */
function* within(value: unknown): Generator<Media, void, undefined> {
  if (isMessage(value, MediaSchema)) yield value;
  else if (typeof value === "object" && value !== null) for (const each of Object.values(value)) yield* within(each);
}

const CLIP = /^....ftyp(?!M4A|avif|heic|mif1)|^\x1aE\xdf\xa3/s;
const SOUND = /^ID3|^\xff[\xe0-\xff]|^fLaC|^OggS|^RIFF....WAVE|^....ftypM4A/s;

/** Returns the name of an asset by its digest, so that a retry finds what is there, in the folder of what it is. */
export function assetName(digest: string, head: Uint8Array, suffix = ""): string {
  const text = String.fromCharCode(...head.subarray(0, 16));
  const folder = CLIP.test(text) ? "videos" : SOUND.test(text) ? "audio" : "images";
  return `${folder}/${digest.slice(0, 40)}${/^\.[a-z0-9]{1,5}$/.test(suffix) ? suffix : ""}`;
}
