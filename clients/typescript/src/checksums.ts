/** CRC32C (Castagnoli), which Node does not have. */

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

/** A running CRC32C. */
export class Checksum {
  #value = 0xffffffff;

  extend(data: Uint8Array): void {
    let value = this.#value;
    for (let index = 0; index < data.length; index += 1) {
      value = (TABLE[(value ^ data[index]!) & 0xff] as number) ^ (value >>> 8);
    }
    this.#value = value;
  }

  get value(): number {
    return (this.#value ^ 0xffffffff) >>> 0;
  }
}
