/** Who may see what: logging in, a token without rights, and one that is taken away under an open page. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { Browser } from "playwright-core";

import { WireClient } from "@evergreen/video/web";

import { openBrowser } from "../clients/typescript/browser.js";
import { Rig, ROOT } from "../clients/typescript/rig.js";
import { Visitor } from "./visitor.js";

const folder = mkdtempSync(join(tmpdir(), "evergreen-tokens-"));
const file = join(folder, "tokens");
const rig = new Rig({ http: true, environ: { EVERGREEN_TOKENS_FILE: file } });
let browser: Browser;

/** Makes a token, and its line of the file. */
function token(name: string, ...rights: string[]): { token: string; line: string } {
  const args = ["token", "--name", name, "--all-projects", "--output", "json", ...rights.flatMap((right) => ["--right", right])];
  const made = JSON.parse(execFileSync(join(ROOT, ".venv/bin/evergreen"), args, { encoding: "utf8" }));
  return { token: made.token, line: JSON.stringify(made.entry) };
}

function write(...lines: string[]): void {
  writeFileSync(`${file}.fresh`, `${lines.join("\n")}\n`, { mode: 0o600 });
  renameSync(`${file}.fresh`, file);
}

const studio = token("studio", "read", "write", "admin");
const guest = token("guest", "read");

before(async () => {
  write(studio.line, guest.line);
  await rig.open();
  browser = await openBrowser();
  const client = new WireClient(rig.http, { token: studio.token });
  await client.generate({ projectId: "aurora", sceneId: "scene-01", model: "gen4.5", ratio: "1280:720", durationSeconds: 5, promptText: "Wheat" });
  client.close();
});
after(async () => {
  await browser?.close();
  await rig.close();
  rmSync(folder, { recursive: true });
});

test("a wrong token is told, a right one enters, and one that is revoked ends the session of an open page", async () => {
  const visitor = await Visitor.arrive(browser, rig.http);
  const { page } = visitor;
  await visitor.open("#/p/aurora/scenes");
  await visitor.looks("login-1440-dark");
  await page.getByLabel("Token").fill("evg_nobody");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Token").fill(studio.token);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "scene-01" }).waitFor();
  await visitor.sees("studio");

  write(guest.line);

  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await visitor.leave();
  write(studio.line, guest.line);
});

test("without the rights to spend and to decide, the page shows, and offers neither", async () => {
  const visitor = await Visitor.arrive(browser, rig.http, { width: 390, scheme: "light" });
  const { page } = visitor;
  await visitor.open();
  await visitor.looks("login-390-light");
  await page.getByLabel("Token").fill(guest.token);
  await page.keyboard.press("Enter");
  await visitor.sees("Wheat");
  await page.getByRole("link", { name: "New clip" }).waitFor({ state: "detached" });
  await visitor.go("#/account");
  await visitor.sees("Not allowed");
  await visitor.looks("account-denied-390-light");
  await visitor.go("#/webhooks");
  await visitor.sees("Webhooks are for tokens with the right admin");
  await visitor.looks("webhooks-denied-390-light");
  await visitor.leave();
});
