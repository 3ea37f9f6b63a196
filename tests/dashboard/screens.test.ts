/** The dashboard in a real browser, through a real server, with the sandbox as provider. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import type { Browser } from "playwright-core";

import type { Job } from "@evergreen/video/v1/video";
import { WireClient, EventKind, JobStage, JobState, MediaKind, MediaRole } from "@evergreen/video/web";

import { openBrowser } from "../clients/typescript/browser.js";
import { Rig, ROCKET } from "../clients/typescript/rig.js";
import { Visitor } from "./visitor.js";

const rig = new Rig({ http: true });
const CLIP = { projectId: "aurora", sceneId: "scene-01", model: "gen4.5", ratio: "1280:720", durationSeconds: 5 };
const SCRIPT = `# The lamp

## A dark room

*A lamp stands on a table in a dark room. Its light goes on.*

**Narrator**: Here begins the night.
`;
let browser: Browser;
let client: WireClient;

before(async () => {
  await rig.open();
  browser = await openBrowser();
  client = new WireClient(rig.http);
});
after(async () => {
  client?.close();
  await browser?.close();
  await rig.close();
});

async function visiting(work: (visitor: Visitor) => Promise<void>, options = {}): Promise<void> {
  const visitor = await Visitor.arrive(browser, rig.http, options);
  await work(visitor);
  await visitor.leave();
}

async function fault(kind: string, prompt: string, more: object = {}): Promise<void> {
  const { count = 1, ...rest } = more as { count?: number | null };
  await rig.sandbox("POST", "faults", { operation: "create", match: { promptText: prompt }, count, fault: { kind, ...rest } });
}

/** Waits until a job is in a state. */
async function until(jobId: string, state: JobState): Promise<Job> {
  for await (const { body } of client.watch({ jobIds: [jobId] })) {
    if (body.case === "event" && body.value.job?.state === state) return client.status(jobId);
  }
  throw new Error(`the job ended before ${JobState[state]}`);
}

async function generating(jobId: string): Promise<void> {
  for await (const { body } of client.watch({ jobIds: [jobId] })) {
    if (body.case === "event" && body.value.job?.stage === JobStage.GENERATING) return;
  }
}

test("a first visit ends in a clip that plays: quote, a fault at its field, one job for two clicks, and a seek", async () => {
  await visiting(async (visitor) => {
    const { page } = visitor;
    await visitor.open();
    await visitor.sees("No clips yet");
    await visitor.looks("empty-1440-dark");
    await page.keyboard.press("n");
    const form = page.getByRole("dialog");
    await form.getByLabel("Prompt").fill("A rocket rises over the sea");
    await form.getByLabel("Seconds").fill("99");
    await form.locator("label:has([name=seconds]) .hint.bad").waitFor();
    assert.equal(await form.getByLabel("Seconds").getAttribute("aria-invalid"), "true");
    await form.getByLabel("Seconds").fill("5");
    await form.getByText("credits at most").waitFor();
    await form.locator("input[type=file]").setInputFiles(ROCKET);
    await form.getByText("rocket.jpg").waitFor();
    await visitor.looks("new-1440-dark");
    await form.getByRole("button", { name: "Make the clip" }).dblclick();

    await page.getByText("Succeeded").first().waitFor();
    const video = page.locator("video");
    await video.waitFor();
    const at = await video.evaluate(async (element: HTMLVideoElement) => {
      if (element.readyState < 1) await new Promise((resolve) => element.addEventListener("loadedmetadata", resolve, { once: true }));
      element.currentTime = element.duration / 2;
      await new Promise((resolve) => element.addEventListener("seeked", resolve, { once: true }));
      return { time: element.currentTime, width: element.videoWidth };
    });
    assert.ok(at.time > 1 && at.width > 0);
    assert.match(await page.title(), /Succeeded · A rocket rises/);
    await visitor.looks("job-1440-dark");
  });

  const jobs = [];
  for await (const job of client.list()) jobs.push(job);
  assert.equal(jobs.length, 1);
  assert.equal(jobs[0]?.projectId, "default");
});

test("a job that is cancelled on its row stops, and the list says so without a reload", async () => {
  await fault("throttle", "waits", { seconds: 1_000_000, count: null });
  const job = await client.generate({ ...CLIP, promptText: "waits" });

  await visiting(async (visitor) => {
    await visitor.open("#/p/aurora/jobs");
    await visitor.page.getByRole("button", { name: "Cancel waits" }).click();
    await visitor.page.locator(`[data-job="${job.jobId}"]`).getByText("Cancelled").waitFor();
  });

  assert.equal((await client.status(job.jobId)).state, JobState.CANCELLED);
});

test("each of the three ways out of a lost answer leads where it says", async () => {
  const prompts = ["lost and found", "lost and sent again", "lost for good"];
  for (const prompt of prompts) await fault("lost_answer", prompt);
  const jobs = await Promise.all(prompts.map((promptText) => client.generate({ ...CLIP, promptText })));
  for (const { jobId } of jobs) await until(jobId, JobState.NEEDS_ATTENTION);
  const [found, again, given] = jobs.map(({ jobId }) => jobId) as [string, string, string];
  const { tasks } = (await rig.sandbox("GET", "tasks")) as { tasks: { id: string; promptText: string }[] };
  const task = tasks.find(({ promptText }) => promptText === "lost and found")!.id;

  await visiting(async (visitor) => {
    const { page } = visitor;
    await visitor.open();
    await visitor.go(`#/attention/${found}`);
    await visitor.sees("3 jobs wait");
    await visitor.sees("60 more credits, 120 at worst");
    await visitor.looks("attention-1440-dark");
    await page.getByLabel("Task id").fill("00000000-0000-4000-8000-000000000000");
    await page.getByRole("button", { name: "Attach" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Task id").fill(task);
    await page.getByRole("button", { name: "Attach" }).click();
    await visitor.sees("2 jobs wait");
    await visitor.go(`#/attention/${again}`);
    await page.getByRole("button", { name: "Submit again" }).click();
    await page.getByRole("dialog").getByText("120 credits").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Submit again" }).click();
    await visitor.sees("1 job waits");
    await visitor.go(`#/attention/${given}`);
    await page.getByRole("button", { name: "Abandon" }).click();
    await visitor.sees("Nobody needs you");
  });

  const [attached, sent, lost] = await Promise.all([until(found, JobState.SUCCEEDED), until(again, JobState.SUCCEEDED), until(given, JobState.FAILED)]);
  assert.equal(attached.providerTaskId, task);
  assert.equal(sent.state, JobState.SUCCEEDED);
  assert.equal(lost.error?.reason, "SUBMISSION_ABANDONED");
});

test("a picture that is dropped on a scene is kept there, and can begin a clip", async () => {
  await visiting(async (visitor) => {
    const { page } = visitor;
    await visitor.open("#/p/aurora/scenes/scene-01");
    await visitor.sees("Drop pictures");
    const bytes = [...(await readFile(ROCKET))];
    const files = await page.evaluateHandle((bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], "dropped here.jpg", { type: "image/jpeg" }));
      return data;
    }, bytes);
    await page.dispatchEvent(".drop", "drop", { dataTransfer: files });
    await page.getByRole("link", { name: "New clip from this" }).waitFor();
    await page.locator(".asset.chosen img").evaluate((image: HTMLImageElement) => image.decode());
    await visitor.looks("scenes-1440-dark");
    await page.getByRole("link", { name: "New clip from this" }).click();
    await page.getByRole("dialog").getByText("dropped-here.jpg").waitFor();
    await page.keyboard.press("Escape");
    await visitor.sees("Just finished");
  });

  const scene = await client.scenes.show({ projectId: "aurora", sceneId: "scene-01" });
  const kept = scene.folders.flatMap(({ assets }) => assets).find(({ path }) => path === "images/dropped-here.jpg");
  assert.equal(Number(kept?.sizeBytes), (await readFile(ROCKET)).length);
});

test("a clip is asked for between two pictures and with a deadline, which is wrong at its field if it is over", async () => {
  const able = (await client.models({ kinds: [MediaKind.VIDEO] })).find(({ roles }) => roles.includes(MediaRole.FIRST_FRAME) && roles.includes(MediaRole.LAST_FRAME))!;

  await visiting(async (visitor) => {
    const { page } = visitor;
    await visitor.open("#/p/aurora/new?scene=scene-01&image=images/dropped-here.jpg");
    const form = page.getByRole("dialog");
    await form.getByLabel("Prompt").fill("From one picture to the other");
    await form.getByLabel("Model").selectOption(able.model);
    await form.getByRole("button", { name: "Last frame images/dropped-here.jpg" }).click();
    await form.getByText("More: seed").click();
    await form.getByLabel("Finish within, min").fill("-1");
    await form.locator("label:has([name=finishIn]) .hint.bad").waitFor();
    await form.getByLabel("Finish within, min").fill("60");
    await form.getByText("credits at most").waitFor();
    await visitor.looks("new-frames-1440-dark");
    await form.getByRole("button", { name: "Make the clip" }).click();
    await page.locator(".top").getByText("From one picture to the other").waitFor();
  });

  const { value: job } = await client.list({ projectId: "aurora", newestFirst: true }).next();
  const { request } = await client.status((job as Job).jobId);
  assert.deepEqual(request?.media.map(({ role }) => role), [MediaRole.FIRST_FRAME, MediaRole.LAST_FRAME]);
  const left = Number(request?.finishBy?.seconds) - Date.now() / 1000;
  assert.ok(left > 3000 && left <= 3600, String(left));
});

test("a server that is killed under an open page and comes back costs it nothing, and tells it nothing twice", async () => {
  const visitor = await Visitor.arrive(browser, rig.http);
  const { page } = visitor;
  const jobs = await Promise.all([1, 2, 3].map((index) => client.generate({ ...CLIP, projectId: "kill", durationSeconds: 10, promptText: `killed ${index}` })));
  await visitor.open(`#/p/kill/jobs/${jobs[0]!.jobId}`);
  await page.locator(".top").getByText("Generating").waitFor();
  // A server that is killed while it submits asks somebody, which is another test's.
  for (const { jobId } of jobs) await generating(jobId);

  await rig.stop("SIGKILL");
  await page.getByText("Reconnecting").first().waitFor();
  await rig.start();

  await page.locator(".top").getByText("Succeeded").waitFor();
  await page.getByText("Live · revision").first().waitFor();
  const shown = await page.locator("[data-revision]").evaluateAll((rows) => rows.map((row) => Number((row as HTMLElement).dataset["revision"])).reverse());
  const told: number[] = [];
  for await (const { revision, body } of client.watch({ jobIds: [jobs[0]!.jobId], afterRevision: 0 })) {
    if (body.case === "event" && body.value.kind !== EventKind.PROGRESS && body.value.kind !== EventKind.SNAPSHOT) told.push(Number(revision));
  }
  assert.deepEqual(shown, told);
  await visitor.go("#/p/kill/jobs");
  for (const { jobId } of jobs) await page.locator(`[data-job="${jobId}"]`).getByText("Succeeded").waitFor();
  assert.equal(await page.locator("[data-job]").count(), 3);
  await visitor.leave();
});

test("a script becomes a plan with its price, waits for approval of its pictures, and ends as a cut that plays", async () => {
  await visiting(async (visitor) => {
    const { page } = visitor;
    await visitor.open("#/p/aurora/films");
    await visitor.sees("No films yet");
    await page.getByRole("link", { name: "New film" }).click();
    const form = page.getByRole("dialog");
    await form.getByLabel("Name").fill("lamp");
    await form.getByLabel(/^Script/).fill(SCRIPT);
    await form.getByText("and 1 shot").waitFor();
    await visitor.looks("film-new-1440-dark");
    await form.getByRole("button", { name: "Keep the plan" }).click();
    await page.getByRole("button", { name: /^Start for/ }).click();
    await page.getByRole("button", { name: "Approve" }).waitFor();
    await visitor.settles();
    await visitor.looks("film-storyboard-1440-dark");
    await page.getByRole("button", { name: "Approve" }).click();
    await page.locator(".top").getByText("Succeeded").waitFor();
    const width = await page.locator("video").evaluate(async (element: HTMLVideoElement) => {
      if (element.readyState < 1) await new Promise((resolve) => element.addEventListener("loadedmetadata", resolve, { once: true }));
      return element.videoWidth;
    });
    assert.ok(width > 0);
    await visitor.looks("film-1440-dark");
  });
});

test("a clip of a film that is wanted otherwise is made anew by the next run, alone and for its own price", async () => {
  const clips = async () => {
    const found: Job[] = [];
    for await (const job of client.list({ projectId: "aurora" })) if (job.filmId === "lamp") found.push(job);
    return found;
  };
  const before = await clips();

  await visiting(async (visitor) => {
    const { page } = visitor;
    await visitor.open("#/p/aurora/films/lamp");
    const again = page.getByRole("button", { name: "Make the clip of scene-1.1 anew" });
    await again.click();
    await visitor.sees("the clip is made anew by the next run");
    assert.equal(await again.count(), 0);
    await visitor.looks("film-redo-1440-dark");
    await page.getByLabel("Show me the pictures first").uncheck();
    await page.getByRole("button", { name: /^Start for [1-9]/ }).click();
    await page.locator(".top").getByText("Running").waitFor();
    await page.locator(".top").getByText("Succeeded").waitFor();
    await again.waitFor();
    await page.getByLabel("Another form").selectOption("tall");
    await page.getByLabel("Captions in the picture").check();
    await page.getByRole("button", { name: "Export" }).click();
    await page.getByRole("link", { name: /-tall-\w+\.mp4/ }).waitFor();
    await visitor.looks("film-export-1440-dark");
    await visitor.go("#/p/aurora/films");
    await visitor.sees("run 3");
  });

  const made = (await clips()).filter(({ jobId }) => !before.some((each) => each.jobId === jobId));
  assert.deepEqual(made.map(({ kind, sceneId }) => [kind, sceneId]), [[MediaKind.VIDEO, "scene-1"]]);
});

test("the cast of a film is shown, and described anew before anything is spent", async () => {
  await client.films.plan({ projectId: "aurora", filmId: "street", script: SCRIPT, settings: { scenePrefix: "street" }, cast: [{ name: "Ada", description: "a woman in a red coat" }] });

  await visiting(async (visitor) => {
    const { page } = visitor;
    await visitor.open("#/p/aurora/films/street");
    await visitor.sees("a woman in a red coat");
    await page.getByRole("button", { name: "Change Ada" }).click();
    await page.getByRole("dialog").getByLabel(/^What they look like/).fill("a woman in a blue coat");
    await visitor.looks("film-cast-1440-dark");
    await page.getByRole("button", { name: "Keep it" }).click();
    await visitor.sees("a woman in a blue coat");
  });

  assert.deepEqual((await client.films.get({ projectId: "aurora", filmId: "street" })).cast.map(({ name, description }) => [name, description]), [["Ada", "a woman in a blue coat"]]);
});

test("every screen is whole in both themes and on a phone", async () => {
  const { value: job } = await client.list({ projectId: "aurora", states: [JobState.SUCCEEDED] }).next();
  await fault("lost_answer", "Violet ridgelines at dawn");
  const lost = await client.generate({ ...CLIP, promptText: "Violet ridgelines at dawn" });
  await until(lost.jobId, JobState.NEEDS_ATTENTION);
  const places: Readonly<Record<string, readonly [string, string | RegExp]>> = {
    jobs: ["#/p/aurora/jobs", "Just finished"],
    job: [`#/p/aurora/jobs/${(job as Job).jobId}`, "confirmed"],
    attention: ["#/attention", "Give it up"],
    new: ["#/p/aurora/new", "0 of 1,000"],
    scenes: ["#/p/aurora/scenes/scene-01", "Drop pictures"],
    films: ["#/p/aurora/films", "of 1 clip"],
    account: ["#/account", "10,000,000"],
    missing: ["#/p/aurora/jobs/0190b0a0-0000-7000-8000-000000000000", "Not found"],
  };
  for (const [width, scheme] of [[1440, "dark"], [1440, "light"], [390, "dark"], [390, "light"]] as const) {
    await visiting(async (visitor) => {
      await visitor.open();
      for (const [name, [place, text]] of Object.entries(places)) {
        await visitor.go(place);
        await visitor.sees(text);
        await visitor.settles();
        await visitor.looks(`${name}-${width}-${scheme}`, { axe: (width === 1440) === (scheme === "dark") });
      }
    }, { width, scheme });
  }
});

// The last one: what waits at the provider holds its places.
test("a thousand jobs are listed, found and walked through by keys", async () => {
  await fault("throttle", "of a thousand", { seconds: 1_000_000, count: null });
  const numbers = Array.from({ length: 1000 }, (_, index) => index);
  const ask = async (): Promise<void> => {
    for (let number = numbers.pop(); number !== undefined; number = numbers.pop()) {
      await client.generate({ ...CLIP, projectId: "many", promptText: "of a thousand", labels: { number: String(number) } });
    }
  };
  await Promise.all(Array.from({ length: 16 }, ask));

  await visiting(async (visitor) => {
    const { page } = visitor;
    await visitor.open("#/p/many/jobs");
    await page.waitForFunction(() => document.querySelectorAll("[data-job]").length === 1000);
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    assert.equal(await page.evaluate(() => [...document.querySelectorAll(".job .what a")].indexOf(document.activeElement!)), 1);
    await page.keyboard.press("/");
    await page.keyboard.type("number:777");
    await page.waitForFunction(() => document.querySelectorAll("[data-job]").length === 1);
    assert.match(page.url(), /q=number/);
  });
});
