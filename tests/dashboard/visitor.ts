/** Somebody at a browser: opens pages, and notices everything that a page must not do. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

import type { Browser, BrowserContext, Page } from "playwright-core";

import { ROOT } from "../clients/typescript/rig.js";

/** Where pictures of the screens are left, to be looked at. */
export const SHOTS = join(ROOT, ".make/screens");
export const WAIT_MS = 60_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// What Chromium says of any answer that is no success, whether the page shows it or not; and of a server that is gone.
const EXPECTED = /^Failed to load resource|WebSocket connection to .* failed/;

export class Visitor {
  readonly #context: BrowserContext;
  readonly #home: string;
  readonly #wrong: string[] = [];
  page!: Page;

  private constructor(context: BrowserContext, home: string) {
    this.#context = context;
    this.#home = home;
  }

  static async arrive(browser: Browser, home: string, { width = 1440, scheme = "dark" }: { width?: number; scheme?: "dark" | "light" } = {}): Promise<Visitor> {
    const context = await browser.newContext({ viewport: { width, height: width < 500 ? 844 : 900 }, colorScheme: scheme, reducedMotion: "reduce" });
    context.setDefaultTimeout(WAIT_MS);
    const visitor = new Visitor(context, home);
    visitor.page = await context.newPage();
    await visitor.page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    });
    visitor.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()) && !EXPECTED.test(message.text())) visitor.#wrong.push(message.text());
    });
    visitor.page.on("pageerror", (error) => visitor.#wrong.push(String(error.stack)));
    visitor.page.on("request", (request) => {
      const url = new URL(request.url());
      if (!["blob:", "data:"].includes(url.protocol) && url.host !== new URL(home).host) visitor.#wrong.push(`asked ${url.host}`);
    });
    return visitor;
  }

  async open(place = ""): Promise<void> {
    await this.page.goto(`${this.#home}/${place}`);
  }

  /** Goes to another place of the page that is open. */
  async go(place: string): Promise<void> {
    await this.page.evaluate((hash) => void (location.hash = hash), place);
  }

  /** Waits until the page shows a text. */
  async sees(text: string | RegExp): Promise<void> {
    await this.page.getByText(text).first().waitFor();
  }

  /** Waits until all pictures that can be seen are there. */
  async settles(): Promise<void> {
    await this.page.waitForFunction(() => !document.querySelector("[aria-busy]") && [...document.images].every((image) => image.complete || image.getBoundingClientRect().top > innerHeight));
  }

  /** Leaves a picture of the page, and demands that it is accessible and not wider than the screen. */
  async looks(name: string, { axe = true } = {}): Promise<void> {
    await mkdir(SHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SHOTS, `${name}.png`) });
    const wide = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${name} is ${wide} px wider than the screen`);
    if (!axe) return;
    // By evaluation, which the page's own policy does not bind.
    await this.page.evaluate(AXE);
    const faults = await this.page.evaluate(async () => {
      const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }> } };
      return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
    });
    assert.deepEqual(faults, [], name);
  }

  /** Leaves, and demands that nothing went wrong meanwhile. */
  async leave(): Promise<void> {
    await this.#context.close();
    assert.deepEqual(this.#wrong, []);
  }
}
