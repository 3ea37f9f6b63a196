// Unpacks the Chromium of the tests, from the locked package, into a folder: node scripts/unpack-browser.mjs FOLDER
//
// The package means it for a cloud function. It is a whole browser, with H.264, and brings every library that a bare Linux has not.
import { spawnSync } from "node:child_process";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { arch, platform } from "node:os";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";

const PACKED = "node_modules/@sparticuz/chromium/bin";
const folder = process.argv[2];
const advice = "install Chromium (Debian: apt-get install chromium) and name it, as by CHROMIUM=/usr/bin/chromium";

if (platform() !== "linux" || arch() !== "x64") {
  console.error(`No browser is locked for ${platform()} on ${arch()}: ${advice}`);
  process.exit(1);
}
await rm(folder, { recursive: true, force: true });
await mkdir(join(folder, "fonts"), { recursive: true });

const unpack = (name, target) =>
  pipeline(createReadStream(join(PACKED, `${name}.br`)), createBrotliDecompress(), createWriteStream(target, { mode: 0o755 }));
await unpack("chromium", join(folder, "chromium"));
for (const [name, into] of [["al2023.tar", folder], ["swiftshader.tar", folder], ["fonts.tar", join(folder, "fonts")]]) {
  const archive = join(folder, name);
  await unpack(name, archive);
  const { status } = spawnSync("tar", ["-xf", archive, "-C", into], { stdio: "inherit" });
  if (status !== 0) process.exit(1);
  await rm(archive);
}
// Without a font the browser crashes, and the package names folders of the cloud.
await writeFile(
  join(folder, "fonts", "fonts.conf"),
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${resolve(folder, "fonts")}</dir><cachedir>${resolve(folder, "fonts-cache")}</cachedir></fontconfig>
`,
);
const env = { ...process.env, LD_LIBRARY_PATH: join(folder, "lib") };
const { status, stderr, error } = spawnSync(join(folder, "chromium"), ["--version"], { env, encoding: "utf8" });
if (status !== 0) {
  console.error(`The locked browser does not start here: ${advice}\n${stderr || error}`);
  process.exit(1);
}
