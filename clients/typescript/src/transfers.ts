/** What uploads and downloads share. */
import { TransferBroken } from "./errors.js";
import type { Asset } from "./gen/evergreen/v1/scene_pb.js";
import type { Checksum } from "./checksums.js";

/** Receives the number of bytes transferred so far, and the total number of bytes. */
export type Moved = (moved: number, size: number) => void;

/** Options of a transfer. */
export interface TransferOptions {
  /** Ends the transfer, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called with the progress. */
  readonly moved?: Moved;
}

/** The received bytes differ from the sent bytes. */
export class Differs extends TransferBroken {}

/** Compares the stored asset with the local bytes, by length and checksum. Throws TransferBroken. */
export function compare(asset: Asset, size: number, checksum: Checksum): void {
  if (asset.sizeBytes !== BigInt(size)) {
    throw new Differs(`${asset.path} has ${asset.sizeBytes} bytes there and ${size} here`);
  }
  if (asset.crc32c !== undefined && asset.crc32c !== checksum.value) {
    throw new Differs(`${asset.path} has another checksum there than here`);
  }
}
