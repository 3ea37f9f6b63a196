/** The hidden file of a download beside its target, which a later try goes on with, also after a crash. */
import { createHash } from "node:crypto";
import { type FileHandle, link, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { Checksum } from "../checksums.js";
import { newId } from "../ids.js";

/** What has come so far of one file: its size, and its CRC32C. */
export class Part {
  size = 0;
  checksum = new Checksum();
  readonly #path: string;
  readonly #lock: string | undefined;
  readonly #file: FileHandle;

  private constructor(path: string, lock: string | undefined, file: FileHandle) {
    this.#path = path;
    this.#lock = lock;
    this.#file = file;
  }

  /** Opens what an earlier try left of `source`; where another download of it is on, a file of its own. */
  static async open(target: string, source: string): Promise<Part> {
    const name = (id: string) => join(dirname(target), `.${basename(target)}.${id.slice(0, 8)}.part`);
    const shared = name(createHash("sha256").update(source).digest("hex"));
    const lock = `${shared}.lock`;
    const alone = await locked(lock).catch(ofTarget(target));
    const path = alone ? shared : name(newId());
    const part = new Part(path, alone ? lock : undefined, await open(path, "a+").catch(ofTarget(target)));
    for await (const piece of part.#file.createReadStream({ autoClose: false, start: 0 }) as AsyncIterable<Buffer>) part.#count(piece);
    return part;
  }

  /** Adds the next bytes. */
  async write(data: Uint8Array): Promise<void> {
    await this.#file.appendFile(data);
    this.#count(data);
  }

  /** Drops all bytes. */
  async clear(): Promise<void> {
    await this.#file.truncate(0);
    this.size = 0;
    this.checksum = new Checksum();
  }

  /** Makes this the target. Rejects with EEXIST without `overwrite`. */
  async become(target: string, overwrite: boolean): Promise<void> {
    if (overwrite) return rename(this.#path, target);
    // Unlike a rename, a link replaces nothing.
    await link(this.#path, target);
    await rm(this.#path);
  }

  /** Closes the file, which stays for the next try if it has any bytes. */
  async close(): Promise<void> {
    await this.#file.close();
    if (this.size === 0) await rm(this.#path, { force: true });
    if (this.#lock !== undefined) await rm(this.#lock, { force: true });
  }

  #count(data: Uint8Array): void {
    this.size += data.length;
    this.checksum.extend(data);
  }
}

/** Takes a lock, unless a process that still runs has it: another one, or this one, which is not one of an earlier life. */
async function locked(path: string): Promise<boolean> {
  const own = `${process.pid} ${performance.timeOrigin}`;
  for (;;) {
    try {
      await writeFile(path, own, { flag: "wx" });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = await readFile(path, "utf8").catch(() => "");
    const [pid = "0"] = holder.split(" ");
    if (holder === own || (Number(pid) !== process.pid && runs(Number(pid)))) return false;
    await rm(path, { force: true });
  }
}

function runs(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Has an error name the file that the caller named: nobody knows of the hidden one. */
function ofTarget(target: string): (error: unknown) => never {
  return (error) => {
    const { code, message } = error as NodeJS.ErrnoException;
    throw Object.assign(new Error(`${message.split(", ")[0]}, open '${target}'`, { cause: error }), { code, path: target });
  };
}
