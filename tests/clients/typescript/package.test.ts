/** What a team gets: the packed client in an empty folder, the README's example there, and the example worker. */
import assert from "node:assert/strict";
import { type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Rig, ROOT } from "./rig.js";

const rig = new Rig();
before(() => rig.open());
after(() => rig.close());

/** Runs a command to its end and gives its exit code and what it said. */
function run(command: string, args: readonly string[], options: SpawnOptions, input = "") {
  return new Promise<{ code: number | null; out: string; err: string }>((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: "pipe", timeout: 120_000 });
    const told = { out: "", err: "" };
    child.stdout.on("data", (data: Buffer) => (told.out += data));
    child.stderr.on("data", (data: Buffer) => (told.err += data));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...told }));
    child.stdin.end(input);
  });
}

async function npm(cwd: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await run("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], { cwd });
  assert.equal(code, 0, `npm ${args[0]}: ${err}${out}`);
  return out;
}

/** Installs the packed client in an empty folder. */
async function installed(name: string): Promise<string> {
  const folder = rig.path(name);
  await mkdir(folder);
  const packed = await npm(join(ROOT, "clients/typescript"), "pack", "--silent", "--ignore-scripts", "--pack-destination", folder);
  await writeFile(join(folder, "package.json"), "{}");
  await npm(folder, "install", "--prefer-offline", "--ignore-scripts", `./${packed.trim()}`);
  return folder;
}

const STRICT = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"];

test("the packed client, alone in a folder, runs the README's example and passes a strict compiler", async () => {
  const folder = await installed("empty");
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const [, program] = /```ts\n(.*?)```/s.exec(readme) ?? [];
  assert.ok(program);
  assert.ok(program.trim().split("\n").filter(Boolean).length <= 11);
  await writeFile(join(folder, "readme.mjs"), program.replace("127.0.0.1:50051", rig.address));
  await writeFile(join(folder, "readme.mts"), program);

  await mkdir(join(folder, "tests/samples"), { recursive: true });
  await copyFile(join(ROOT, "tests/samples/rocket.jpg"), join(folder, "tests/samples/rocket.jpg"));

  const { code, out, err } = await run(process.execPath, ["readme.mjs"], { cwd: folder });
  const compiled = await run(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), ...STRICT, "readme.mts"], {
    cwd: folder,
  });

  assert.equal(code, 0, err);
  assert.deepEqual(out.trim().split("\n").slice(-2), ["succeeded 100%", "clip.mp4"]);
  assert.equal(compiled.code, 0, compiled.out);
});

test("a program of CommonJS, as Jest runs it, requires the packed client and makes a clip", async () => {
  const folder = await installed("common");
  const program = `
    const { Client, InvalidRequest } = require("@evergreen/video");
    const { VideoService } = require("@evergreen/video/v1/video");
    const { SceneService } = require("@evergreen/video/v1/scene");
    const { verify } = require("@evergreen/video/webhooks");
    (async () => {
      const client = new Client(${JSON.stringify(rig.address)});
      const asked = { projectId: "common", sceneId: "s", model: "gen4.5", ratio: "1280:720", durationSeconds: 2 };
      await client.generate({ ...asked, promptText: "" }).catch((error) => console.log(error instanceof InvalidRequest));
      const clip = await client.generate({ ...asked, promptText: "a rocket" });
      console.log((await clip.wait()).state === "succeeded" && VideoService.typeName === "evergreen.v1.VideoService", SceneService.typeName);
      await verify("{}", {}, "whsec_c2VjcmV0").catch((error) => console.log(error.name));
      client.close?.();
      process.exit(0);
    })();`;
  await writeFile(join(folder, "program.cjs"), program);
  await writeFile(join(folder, "program.cts"), 'import { Client } from "@evergreen/video";\nexport const client = new Client("a:1");\n');

  // Jest's loader cannot require ES modules, which newer Nodes can.
  const ran = await run(process.execPath, ["--no-experimental-require-module", "program.cjs"], { cwd: folder });
  const compiled = await run(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), ...STRICT, "program.cts"], {
    cwd: folder,
  });

  assert.equal(ran.code, 0, ran.err);
  assert.equal(ran.out.trim(), "true\ntrue evergreen.v1.SceneService\nWebhookRejected");
  assert.equal(compiled.code, 0, compiled.out);
});

test("the worker, copied out, installs the packed client, compiles, and prints its table when it is stopped", async () => {
  const folder = rig.path("worker");
  await cp(join(ROOT, "examples/worker"), folder, { recursive: true });
  await npm(join(ROOT, "clients/typescript"), "pack", "--silent", "--ignore-scripts", "--pack-destination", folder);
  await npm(folder, "install", "--prefer-offline", "--ignore-scripts");
  const child = spawn("npm", ["start", "--silent", "--", "stopped", "scene-1"], {
    cwd: folder,
    env: { ...process.env, EVERGREEN_ENDPOINT: rig.address },
    stdio: "pipe",
    detached: true,
  });
  const told = { out: "", err: "" };
  child.stdout.on("data", (data: Buffer) => (told.out += data));
  const ended = once(child, "close");
  child.stdin.end(Array.from({ length: 40 }, (_, index) => `clip ${index}`).join("\n"));
  for await (const data of child.stderr) {
    told.err += data;
    // As a terminal does on Ctrl-C: to all processes of the command.
    if (/^done: /m.test(told.err)) {
      process.kill(-child.pid!, "SIGINT");
      break;
    }
  }

  await ended;
  assert.match(told.out, /videos\/\S+\.mp4/);
  assert.match(told.out, /goes on without this program/);
});

test("the worker makes a batch, prints a table, and pays for nothing twice", async () => {
  const worker = join(ROOT, ".make/typescript/worker/worker.js");
  const env = { ...process.env, EVERGREEN_ENDPOINT: rig.address };
  const prompts = Array.from({ length: 6 }, (_, index) => `clip ${index}`).join("\n");

  const first = await run(process.execPath, [worker, "batch", "scene-1"], { env }, prompts);
  const again = await run(process.execPath, [worker, "batch", "scene-1"], { env }, prompts);
  const refused = await run(process.execPath, [worker, "no such name", "scene-1"], { env }, prompts);

  assert.equal(first.code, 0, first.err);
  const clips = first.out.match(/videos\/\S+\.mp4/g) ?? [];
  assert.equal(new Set(clips).size, 6);
  assert.deepEqual(again.out.match(/videos\/\S+\.mp4/g), clips);
  assert.equal(refused.code, 1);
  assert.match(refused.out, /project_id|INVALID_REQUEST/);
});
