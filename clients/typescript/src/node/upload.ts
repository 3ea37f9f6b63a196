/** Writes files to scenes. An interrupted upload starts again, since the service keeps no incomplete file. */
import { open } from "node:fs/promises";

import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";

import { InternalError, TooManyTransfers, TransferStalled, Unavailable } from "../call-errors.js";
import { Checksum } from "../checksums.js";
import { TransferBroken } from "../errors.js";
import type { FileOrBytes } from "./files.js";
import {
  type Asset,
  type SceneService,
  type UploadAssetRequest,
  UploadAssetRequestSchema,
  type UploadInfo,
} from "../gen/evergreen/v1/scene_pb.js";
import { delayMs, type Reconnect, sleep } from "../reconnect.js";
import { callError } from "../status.js";
import { compare, type TransferOptions } from "../transfers.js";

const CHUNK_BYTES = 512 * 1024;
const TRIES = 8;
const HEED_MS = 500;
// How long the service may take to make a complete file durable and to examine it.
const ANSWER_MS = 300_000;

/** Sends a file or bytes until the service has all of it. Throws CallError, TransferBroken. */
export async function upload(
  stub: Client<typeof SceneService>,
  info: UploadInfo,
  source: FileOrBytes,
  reconnect: Reconnect,
  options: TransferOptions,
): Promise<Asset> {
  for (let failures = 1; ; failures += 1) {
    try {
      // An early refusal can get lost while bytes are sent; the next try pauses after its first message to receive it.
      return await new Sending(info, source, failures > 1 ? HEED_MS : 0, reconnect.silenceMs, options).run(stub);
    } catch (fault) {
      if (failures >= TRIES || !isPassing(fault)) throw fault;
      await sleep(delayMs(reconnect, failures, fault), options.signal);
    }
  }
}

function isPassing(fault: unknown): boolean {
  if (fault instanceof InternalError) return fault.reason === "";
  return [Unavailable, TooManyTransfers, TransferStalled].some((kind) => fault instanceof kind);
}

/** One try. A timer, which each step restarts, stops it, so that it cannot stall forever. */
class Sending {
  readonly #info: UploadInfo;
  readonly #source: FileOrBytes;
  readonly #heedMs: number;
  readonly #silenceMs: number;
  readonly #options: TransferOptions;
  readonly #controller = new AbortController();
  readonly #checksum = new Checksum();
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;
  #stalled = "";
  #failure: unknown;

  constructor(
    info: UploadInfo,
    source: FileOrBytes,
    heedMs: number,
    silenceMs: number,
    options: TransferOptions,
  ) {
    this.#info = info;
    this.#source = source;
    this.#heedMs = heedMs;
    this.#silenceMs = silenceMs;
    this.#options = options;
  }

  async run(stub: Client<typeof SceneService>): Promise<Asset> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const leave = () => this.#controller.abort();
    signal?.addEventListener("abort", leave, { once: true });
    try {
      const answer = await stub.uploadAsset(this.#messages(), { signal: this.#controller.signal, timeoutMs: 0 });
      if (answer.asset === undefined) throw new TransferBroken(`the service says nothing of ${this.#info.path}`);
      compare(answer.asset, this.#sent, this.#checksum);
      return answer.asset;
    } catch (failure) {
      signal?.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure;
      if (failure instanceof TransferBroken) throw failure;
      if (this.#stalled) throw new TransferBroken(this.#stalled, { cause: failure });
      throw callError(failure);
    } finally {
      clearTimeout(this.#timer);
      signal?.removeEventListener("abort", leave);
      this.#controller.abort();
    }
  }

  async *#messages(): AsyncGenerator<UploadAssetRequest, void, undefined> {
    try {
      const file = this.#source instanceof Uint8Array ? undefined : await open(this.#source);
      try {
        const size = file === undefined ? (this.#source as Uint8Array).length : (await file.stat()).size;
        const info = { ...this.#info, sizeBytes: BigInt(size) };
        yield this.#wind(create(UploadAssetRequestSchema, { body: { case: "info", value: info } }));
        this.#options.moved?.(0, size);
        if (this.#heedMs) await sleep(this.#heedMs, this.#controller.signal);
        for await (const chunk of file?.createReadStream({ highWaterMark: CHUNK_BYTES, autoClose: false }) ?? this.#slices()) {
          this.#checksum.extend(chunk);
          yield this.#wind(create(UploadAssetRequestSchema, { body: { case: "chunk", value: chunk } }));
          this.#sent += chunk.length;
          this.#options.moved?.(this.#sent, size);
        }
      } finally {
        await file?.close();
      }
    } catch (failure) {
      // An error of the file must not look like an error of the call.
      if (!this.#controller.signal.aborted) this.#failure = failure;
      this.#controller.abort();
      throw failure;
    }
    this.#expect(ANSWER_MS, `the service did not answer within ${ANSWER_MS / 1000} s`);
  }

  *#slices(): Generator<Uint8Array> {
    const bytes = this.#source as Uint8Array;
    for (let start = 0; start < bytes.length; start += CHUNK_BYTES) yield bytes.subarray(start, start + CHUNK_BYTES);
  }

  #wind(message: UploadAssetRequest): UploadAssetRequest {
    this.#expect(this.#silenceMs, `the service took nothing for ${this.#silenceMs / 1000} s`);
    return message;
  }

  #expect(ms: number, otherwise: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#stalled = otherwise;
      this.#controller.abort();
    }, ms);
  }
}
