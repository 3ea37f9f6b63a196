/** Reads inputs from files of this machine, or from bytes. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

import type { Media, MediaRole } from "../gen/evergreen/v1/video_pb.js";
import { assetName } from "../inputs.js";
import { inlineFrom } from "../requests.js";

/** The path of a file, or bytes. */
export type FileOrBytes = string | URL | Uint8Array;

/**
 * Returns an input with the bytes of a file, or with the given bytes. Throws MediaTooLarge, and file errors.
 *
 * Only inputs of clips need a role.
 */
export function inlineMedia(source: FileOrBytes, role?: MediaRole, atSeconds?: number): Promise<Media> {
  return inlineFrom(readHead, source, role, atSeconds);
}

/** Returns at most `limit` bytes, so that a wrong path to a huge file costs nothing. */
export async function readHead(source: FileOrBytes, limit: number): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  const file = await open(source);
  try {
    const buffer = Buffer.alloc(Math.min((await file.stat()).size, limit));
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) return buffer.subarray(0, length);
    }
  } finally {
    await file.close();
  }
}

/** Returns the name of the asset that has the bytes of a source. Reads files piece by piece. */
export async function assetOf(source: FileOrBytes): Promise<string> {
  const digest = createHash("sha256");
  if (source instanceof Uint8Array) return assetName(digest.update(source).digest("hex"), source);
  const file = await open(source);
  try {
    let head: Buffer | undefined;
    for await (const piece of file.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>) {
      head ??= piece.subarray(0, 16);
      digest.update(piece);
    }
    const path = source instanceof URL ? fileURLToPath(source) : source;
    return assetName(digest.digest("hex"), head ?? Buffer.alloc(0), extname(path).toLowerCase());
  } finally {
    await file.close();
  }
}
