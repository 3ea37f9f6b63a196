/** What each screen shows while an answer is awaited, where there is nothing yet, where it fails, and where it is not allowed. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import type { Browser, Page, Route } from "playwright-core";

import { WireClient, JobState } from "@evergreen/video/web";

import { openBrowser } from "../clients/typescript/browser.js";
import { Rig } from "../clients/typescript/rig.js";
import { Visitor } from "./visitor.js";

const rig = new Rig({ http: true });
const CLIP = { projectId: "aurora", sceneId: "scene-01", model: "gen4.5", ratio: "1280:720", durationSeconds: 5 };
const AWAY = "The service is away for a moment.";
const DENIED = "This token may not see that.";
let browser: Browser;
let jobId: string;

before(async () => {
  await rig.open();
  browser = await openBrowser();
  const client = new WireClient(rig.http);
  ({ jobId } = await client.generate({ ...CLIP, promptText: "A rocket rises over the sea" }));
  assert.equal((await client.wait(jobId)).state, JobState.SUCCEEDED);
  await client.films.plan({ projectId: "aurora", filmId: "lamp", script: "## A dark room\n\n*A lamp goes on.*\n" });
  client.close();
});
after(async () => {
  await browser?.close();
  await rig.close();
});

/** Answers that are held back, and what becomes of others: the calls are named as in the contract. */
class Wire {
  readonly #page: Page;
  readonly #held: Route[] = [];
  #pattern: RegExp | undefined;

  constructor(page: Page) {
    this.#page = page;
  }

  async #on(calls: string, answer: (route: Route) => Promise<void> | void): Promise<void> {
    this.#pattern = new RegExp(`/evergreen\\.v1\\.\\w+/(${calls})$`);
    await this.#page.route(this.#pattern, answer);
  }

  async holds(calls: string): Promise<void> {
    await this.#on(calls, (route) => void this.#held.push(route));
  }

  async fails(calls: string, status: number, code: string, message: string): Promise<void> {
    const error = { code, message };
    const last = Buffer.from(JSON.stringify({ error }));
    // A stream's error is its last frame.
    const frame = Buffer.concat([Buffer.from([2, 0, 0, last.length >> 8, last.length & 255]), last]);
    await this.#on(calls, (route) => {
      const stream = route.request().headers()["content-type"]?.startsWith("application/connect+");
      if (stream) return route.fulfill({ status: 200, contentType: "application/connect+proto", body: frame });
      return route.fulfill({ status, contentType: "application/json", body: JSON.stringify(error) });
    });
  }

  /** Lets through what was held, and everything from now on. */
  async heals(): Promise<void> {
    if (this.#pattern) await this.#page.unroute(this.#pattern);
    for (const route of this.#held.splice(0)) await route.continue().catch(() => undefined);
  }
}

interface Screen {
  readonly place: string;
  /** What it asks for. */
  readonly calls: string;
  /** What it shows once that is there. */
  readonly whole: string | RegExp;
  /** What it must not say before, since nobody knows yet. */
  readonly empty?: string;
  /** A failure that is told at once; by default one that might pass, which watches try to get over. */
  readonly fails?: string;
}

const SCREENS: Readonly<Record<string, () => Screen>> = {
  jobs: () => ({ place: "#/p/aurora/jobs", calls: "ListVideos", whole: "Just finished", empty: "No clips yet" }),
  first: () => ({ place: "", calls: "ListProjects", whole: "Just finished", empty: "No clips yet" }),
  job: () => ({ place: `#/p/aurora/jobs/${jobId}`, calls: "GetStatus", whole: "confirmed" }),
  events: () => ({ place: `#/p/aurora/jobs/${jobId}`, calls: "WatchProgress", whole: "Output added", fails: "unimplemented" }),
  new: () => ({ place: "#/p/aurora/new", calls: "ListModels", whole: "0 of 1,000" }),
  attention: () => ({ place: "#/attention", calls: "ListVideos", whole: "Nobody needs you", empty: "Nobody needs you" }),
  scenes: () => ({ place: "#/p/aurora/scenes", calls: "ListScenes", whole: "Drop pictures", empty: "No scenes yet" }),
  scene: () => ({ place: "#/p/aurora/scenes/scene-01", calls: "GetScene", whole: "Drop pictures", empty: "No clips yet" }),
  films: () => ({ place: "#/p/aurora/films", calls: "ListFilms", whole: "not started", empty: "No films yet" }),
  film: () => ({ place: "#/p/aurora/films/lamp", calls: "GetFilm", whole: "A dark room" }),
  account: () => ({ place: "#/account", calls: "GetAccount|ListModels|ListProjects", whole: "at the provider", empty: "None yet." }),
  webhooks: () => ({ place: "#/webhooks", calls: "ListWebhooks", whole: "Nobody is told yet", empty: "Nobody is told yet" }),
};

for (const [name, screen] of Object.entries(SCREENS)) {
  test(`the screen ${name} shows that it waits, what failed and can be tried again, and what is not allowed`, async () => {
    const { place, calls, whole, empty, fails = "internal" } = screen();
    const phone = Object.keys(SCREENS).indexOf(name) % 2 === 1;
    const visitor = await Visitor.arrive(browser, rig.http, phone ? { width: 390, scheme: "light" } : {});
    const { page } = visitor;
    const wire = new Wire(page);
    const unsaid = async () => assert.equal(empty === undefined ? 0 : await page.getByText(empty).count(), 0, `it says ${empty}`);

    await wire.holds(calls);
    await visitor.open(place);
    await page.locator("#main [aria-busy]").first().waitFor();
    // What the socket tells is there by now, and is not all that there is.
    await page.getByText("Live").first().waitFor({ state: "attached" });
    await unsaid();
    await visitor.looks(`state-${name}-loading`, { axe: !phone });
    await wire.heals();
    await visitor.sees(whole);

    await wire.fails(calls, 500, fails, AWAY);
    await page.reload();
    await page.locator("#main").getByText(AWAY).first().waitFor();
    await unsaid();
    await visitor.looks(`state-${name}-failed`, { axe: phone });
    await wire.heals();
    await page.getByRole("button", { name: "Try again" }).evaluateAll((buttons) => buttons.forEach((each) => (each as HTMLButtonElement).click()));
    await visitor.sees(whole);
    await page.waitForFunction(() => document.querySelector("#main [role=alert]") === null);

    await wire.fails(calls, 403, "permission_denied", DENIED);
    await page.reload();
    await page.locator("#main").getByText(DENIED).first().waitFor();
    await unsaid();
    await visitor.looks(`state-${name}-denied`, { axe: false });
    await visitor.leave();
  });
}

test("a page whose server answers nothing shows its name, and says what is wrong once that is known", async () => {
  const visitor = await Visitor.arrive(browser, rig.http);
  const { page } = visitor;
  let held: Route | undefined;
  await page.route("**/session", (route) => void (held = route));
  await visitor.open();
  await page.locator("main[aria-busy]").getByText("Evergreen").waitFor();
  await visitor.looks("state-page-loading");
  await held?.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ status: 503, code: "UNAVAILABLE", reason: "DRAINING", detail: AWAY }) });
  await page.getByRole("alert").getByText(AWAY).waitFor();
  await visitor.looks("state-page-failed");
  await page.unroute("**/session");
  await page.getByRole("button", { name: "Try again" }).click();
  await visitor.sees("Just finished");
  await visitor.leave();
});

test("a clip that cannot be read says so in its player", async () => {
  const visitor = await Visitor.arrive(browser, rig.http);
  const { page } = visitor;
  await page.route("**/assets/videos/*.mp4", (route) => route.fulfill({ status: 503 }));
  await visitor.open(`#/p/aurora/jobs/${jobId}`);
  await page.getByRole("alert").getByText("It can be downloaded").waitFor();
  await visitor.looks("state-player-failed");
  await visitor.leave();
});
