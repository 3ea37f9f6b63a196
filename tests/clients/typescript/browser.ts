/** A real Chromium for tests: the locked one, or the one that CHROMIUM names. */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { type Browser, chromium } from "playwright-core";

import { ROOT } from "./rig.js";

const LOCKED = join(ROOT, ".make/chromium");

/** Starts the browser; its profile is new and goes with it. */
export async function openBrowser(): Promise<Browser> {
  const named = process.env["CHROMIUM"];
  const executablePath = named ?? join(LOCKED, "chromium");
  if (!existsSync(executablePath)) {
    throw new Error(`There is no browser at ${executablePath}: run \`make browser\`, or install Chromium and name it by CHROMIUM.`);
  }
  const env = { ...process.env, LD_LIBRARY_PATH: join(LOCKED, "lib"), FONTCONFIG_PATH: join(LOCKED, "fonts") };
  // Root, as in a container, may not use the browser's own sandbox.
  return chromium.launch({ executablePath, args: ["--no-sandbox"], ...(named === undefined && { env: env as Record<string, string> }) });
}
