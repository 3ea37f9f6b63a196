/** The Webhooks screen in a real browser: from the first endpoint to its deliveries, and every state that it can be in. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { Browser } from "playwright-core";

import { WireClient, type Webhook, WebhookState } from "@evergreen/video/web";
import { verify } from "@evergreen/video/webhooks";

import { openBrowser } from "../clients/typescript/browser.js";
import { Rig } from "../clients/typescript/rig.js";
import { Visitor } from "./visitor.js";

const CLIP = { projectId: "aurora", sceneId: "scene-01", model: "gen4.5", ratio: "1280:720", durationSeconds: 5 };
const folder = mkdtempSync(join(tmpdir(), "evergreen-webhooks-"));
/** What the receiver answers, and what it was sent. */
let status = 204;
const told: { readonly body: string; readonly headers: Record<string, string> }[] = [];
const receiver = createServer((request, response) => {
  let body = "";
  request.on("data", (data: Buffer) => (body += data.toString()));
  request.on("end", () => {
    told.push({ body, headers: request.headers as Record<string, string> });
    response.writeHead(status).end(status === 204 ? "" : "nobody is at home");
  });
});
let rig: Rig;
let browser: Browser;
let client: WireClient;
let url = "";

before(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  url = `http://${host}/hooks/evergreen`;
  const key = join(folder, "key");
  writeFileSync(key, "0123456789abcdefghijklmnopqrstuvwxyzABCDEF\n", { mode: 0o600 });
  rig = new Rig({ http: true, environ: { EVERGREEN_WEBHOOK_KEY_FILE: key, EVERGREEN_WEBHOOK_HOSTS: host } });
  await rig.open();
  browser = await openBrowser();
  client = new WireClient(rig.http);
});
after(async () => {
  client?.close();
  await browser?.close();
  await rig?.close();
  receiver.close();
  rmSync(folder, { recursive: true });
});

test("an endpoint is added with its faults at their fields, its secret once, and hears of a clip", async () => {
  const visitor = await Visitor.arrive(browser, rig.http);
  const { page } = visitor;
  await visitor.open("#/webhooks");
  await visitor.sees("Nobody is told yet");
  await visitor.looks("webhooks-empty-1440-dark");
  await page.getByRole("link", { name: "Add endpoint" }).click();
  const form = page.getByRole("dialog");
  await form.locator("[name=url]").fill("http://10.0.0.1/hooks");
  await form.getByLabel("Events").selectOption("Types that I name");
  await form.locator("[name=types]").fill("video.done");
  await form.getByRole("button", { name: "Add it" }).click();
  await form.locator("label:has([name=url]) .hint.bad").waitFor();
  await form.locator("label:has([name=types]) .hint.bad").waitFor();
  assert.equal(await form.locator("[name=url]").getAttribute("aria-invalid"), "true");
  await visitor.looks("webhooks-add-1440-dark");
  await form.locator("[name=url]").fill(url);
  await form.locator("[name=projects]").fill("aurora, borealis");
  await form.locator("[name=types]").fill("video.succeeded");
  await form.getByLabel("Description").fill("the render farm");
  await form.getByRole("button", { name: "Add it" }).dblclick();
  const secret = await page.locator(".secret code").innerText();
  await visitor.looks("webhooks-secret-1440-dark");
  await page.getByRole("button", { name: "I have it" }).click();

  await page.locator(".address a").waitFor();
  assert.equal(await page.locator(".address a").count(), 1);
  assert.ok(!(await page.content()).includes(secret));
  await page.getByRole("button", { name: "Send a test" }).click();
  await visitor.sees("Answered 204");
  const { jobId } = await client.generate({ ...CLIP, promptText: "told" });
  await page.locator("tr", { hasText: "video.succeeded" }).getByText("204").waitFor();
  await visitor.sees("Working");
  await visitor.looks("webhooks-1440-dark");
  await page.locator("tr a.link").click();
  await visitor.sees("told");
  await visitor.leave();

  const events = await Promise.all(told.map(({ body, headers }) => verify(body, headers, secret)));
  assert.deepEqual(events.map(({ type, job }) => [type, job?.jobId]), [["evergreen.ping", undefined], ["video.succeeded", jobId]]);
});

test("one that fails is a badge in the navigation, and what it was sent can be sent again", async () => {
  status = 500;
  await client.generate({ ...CLIP, promptText: "refused" });
  const visitor = await Visitor.arrive(browser, rig.http, { scheme: "light" });
  const { page } = visitor;
  await visitor.open("#/webhooks");
  await visitor.sees(/Failing for/);
  await page.getByRole("navigation", { name: "Main", exact: true }).getByRole("link", { name: "Webhooks 1" }).waitFor();
  await page.locator(".answer summary", { hasText: "500" }).first().click();
  await visitor.sees("nobody is at home");
  await visitor.looks("webhooks-failing-1440-light");
  const before = told.length;
  status = 204;
  await page.getByRole("button", { name: "Send video.succeeded again" }).first().click();
  await page.getByText(/Failing for/).first().waitFor({ state: "detached" });
  assert.ok(told.length > before);
  await page.getByRole("button", { name: "Send all that were given up" }).click();
  await visitor.sees("0 deliveries on the way once more");

  status = 410;
  await page.getByRole("button", { name: "Send video.succeeded again" }).first().click();
  await visitor.sees("Switched off");
  await visitor.sees("the receiver answered 410");
  await page.getByRole("navigation", { name: "Main", exact: true }).getByRole("link", { name: "Webhooks 1" }).waitFor();
  status = 204;
  await page.getByRole("button", { name: "Switch on" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await visitor.leave();
});

test("it is paused, changed, resumed, given a new secret, and deleted, on a phone", async () => {
  const { value: webhook } = await client.webhooks.list().next();
  const { webhookId } = webhook as Webhook;
  const visitor = await Visitor.arrive(browser, rig.http, { width: 390, scheme: "light" });
  const { page } = visitor;
  await visitor.open(`#/webhooks/${webhookId}`);
  await page.getByRole("button", { name: "Pause" }).click();
  await visitor.sees("Paused");
  assert.equal((await client.webhooks.get(webhookId)).state, WebhookState.PAUSED);
  await page.getByRole("link", { name: "Change" }).click();
  const form = page.getByRole("dialog");
  assert.equal(await form.locator("[name=types]").inputValue(), "video.succeeded");
  await form.getByLabel("Events").selectOption("Everything");
  await visitor.looks("webhooks-change-390-light");
  await form.getByRole("button", { name: "Keep the changes" }).click();
  await visitor.sees("everything, of aurora, borealis");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.getByRole("button", { name: "New secret" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Make a new secret" }).click();
  const secret = await page.locator(".secret code").innerText();
  await page.getByRole("button", { name: "I have it" }).click();
  await visitor.sees("its 2nd; the one before is good until");
  await visitor.looks("webhooks-390-light");
  told.length = 0;
  await page.getByRole("button", { name: "Send a test" }).click();
  await visitor.sees("Answered 204");
  assert.equal((await verify(told[0]!.body, told[0]!.headers, secret)).type, "evergreen.ping");
  assert.equal(told[0]!.headers["webhook-signature"]!.split(" ").length, 2);
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete it" }).click();
  await visitor.sees("Nobody is told yet");
  await visitor.leave();

  assert.equal((await client.webhooks.list().next()).done, true);
});

test("what keeps the list from coming, or the screen itself, is said, and can be tried again", async () => {
  const visitor = await Visitor.arrive(browser, rig.http, { width: 390 });
  const { page } = visitor;
  await page.route(/\/static\/more-/, (route) => route.abort());
  await visitor.open("#/webhooks");
  await visitor.sees("The rest of this page cannot be loaded");
  await visitor.looks("webhooks-gone-390-dark");
  await page.unroute(/\/static\/more-/);
  await page.getByRole("button", { name: "Try again" }).click();
  await visitor.sees("Nobody is told yet");

  await page.route(/ListWebhooks$/, (route) => route.fulfill({ status: 500, json: { code: "internal", message: "it broke" } }));
  await page.reload();
  await visitor.sees("it broke");
  await visitor.looks("webhooks-failed-390-dark");
  await page.unroute(/ListWebhooks$/);
  await page.getByRole("button", { name: "Try again" }).click();
  await visitor.sees("Nobody is told yet");
  await visitor.leave();
});
