/** What uploads and downloads have in common. */
import { TransferBroken } from "./errors.js";
import type { Asset } from "./gen/evergreen/v1/scene_pb.js";
import type { Checksum } from "./checksums.js";

/** Is told how many bytes were moved so far, and how many there are in all. */
export type Moved = (moved: number, size: number) => void;

/** What the caller of a transfer may choose. */
export interface TransferOptions {
  /** Leaves the transfer, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Is told of the progress. */
  readonly moved?: Moved;
}

/** Compares what is there with what is here, by length and checksum. Throws TransferBroken. */
export function compare(asset: Asset, size: number, checksum: Checksum): void {
  if (asset.sizeBytes !== BigInt(size)) {
    throw new TransferBroken(`${asset.path} has ${asset.sizeBytes} bytes there and ${size} here`);
  }
  if (asset.crc32c !== undefined && asset.crc32c !== checksum.value) {
    throw new TransferBroken(`${asset.path} has another checksum there than here`);
  }
}
