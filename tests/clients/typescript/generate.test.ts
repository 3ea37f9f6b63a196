/** Requests for pictures, speech, sounds and the rest, as the client puts them on the wire. */
import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { create, equals } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  ALL_KINDS,
  type WireClient,
  JobState,
  MediaKind,
  OnUnknownSubmission,
  type Spec,
} from "@evergreen/video";
import {
  type GenerateRequest,
  GenerateRequestSchema,
  ListOrder,
  type ListVideosRequest,
} from "@evergreen/video/v1/video";

import { checkpoint, event, scripted, UNAVAILABLE } from "./scripted.js";

const WHERE = { projectId: "p", sceneId: "s" };
const VIDEO = { source: { case: "asset" as const, value: "videos/a.mp4" } };
const SOUND = { source: { case: "asset" as const, value: "audio/a.mp3" } };
const PICTURE = { source: { case: "asset" as const, value: "images/a.png" } };

/** A client of a service that takes every request, and the requests that it got. */
async function accepting(t: TestContext): Promise<{ client: WireClient; asked: GenerateRequest[] }> {
  const asked: GenerateRequest[] = [];
  const client = await scripted(t, {
    generate: (request) => {
      asked.push(request);
      return { job: { jobId: "job-1" }, estimatedCredits: 5 };
    },
  });
  return { client, asked };
}

function same(asked: readonly GenerateRequest[], expected: readonly Parameters<typeof create<typeof GenerateRequestSchema>>[1][]) {
  assert.equal(asked.length, expected.length);
  for (const [index, request] of asked.entries()) {
    assert.ok(equals(GenerateRequestSchema, request, create(GenerateRequestSchema, expected[index])), `request ${index}`);
  }
}

test("a picture reaches the wire with every field", async (t) => {
  const { client, asked } = await accepting(t);
  const hero = join(tmpdir(), `hero-${process.pid}.png`);
  t.after(() => rm(hero, { force: true }));
  await writeFile(hero, "png");
  const startBy = new Date("2030-01-31T17:00:00Z");
  const style = { source: { case: "uri" as const, value: "https://example.com/style.png" }, subject: "object" };
  const envelope = { ...WHERE, model: "gen4_image", requestId: "mine", options: { quality: "low" }, maxCredits: 16 };
  const more = { maxAttempts: 2, onUnknownSubmission: OnUnknownSubmission.RESUBMIT, priority: -7, labels: { team: "blue" } };

  const job = await client.generateImage({
    ...envelope,
    ...more,
    promptText: "@hero in @style",
    ratio: "1920:1080",
    outputCount: 2,
    references: { hero, style, third: Buffer.from("bytes") },
    seed: 0,
    startBy,
  });

  assert.equal(job.jobId, "job-1");
  const references = [
    { source: { case: "data" as const, value: Buffer.from("png") }, tag: "hero" },
    { ...style, tag: "style" },
    { source: { case: "data" as const, value: Buffer.from("bytes") }, tag: "third" },
  ];
  const value = { promptText: "@hero in @style", ratio: "1920:1080", outputCount: 2, references };
  const operation = { case: "image" as const, value };
  same(asked, [{ ...envelope, ...more, operation, seed: 0n, startBy: timestampFromDate(startBy) }]);
});

test("speech and sounds reach the wire, and what is left out is absent", async (t) => {
  const { client, asked } = await accepting(t);
  const sound = Buffer.from("mp3");
  const ids = { ...WHERE, requestId: "mine", model: "m" };

  await client.generateSpeech({ ...ids, text: "hello", voiceReference: sound, language: "en" });
  await client.generateSpeech({ ...ids, text: "hello", voice: "Maya" });
  await client.generateSound({ ...ids, promptText: "rain", durationSeconds: 0.5, loop: true, references: [sound], outputCount: 2 });
  await client.generateSound({ ...ids, promptText: "rain" });

  const data = { source: { case: "data" as const, value: sound } };
  const rain = { promptText: "rain", durationSeconds: 0.5, loop: true, references: [data], outputCount: 2 };
  same(asked, [
    { ...ids, operation: { case: "speech", value: { text: "hello", voiceReference: data, language: "en" } } },
    { ...ids, operation: { case: "speech", value: { text: "hello", voice: "Maya" } } },
    { ...ids, operation: { case: "sound", value: rain } },
    { ...ids, operation: { case: "sound", value: { promptText: "rain" } } },
  ]);
});

const SPECS: readonly Spec[] = [
  { case: "image", value: { promptText: "a fox" } },
  { case: "speech", value: { text: "hello", voice: "Maya" } },
  { case: "sound", value: { promptText: "rain" } },
  { case: "videoSound", value: { video: VIDEO, durationSeconds: 5 } },
  { case: "voiceChange", value: { source: { case: "audio", value: SOUND }, voice: "Maya" } },
  { case: "dubbing", value: { audio: SOUND, targetLanguage: "fr" } },
  { case: "voiceIsolation", value: { audio: SOUND } },
  { case: "performance", value: { character: { case: "characterImage", value: PICTURE }, performance: VIDEO } },
  { case: "videoUpscale", value: { video: VIDEO, targetFrameRate: "60" } },
  { case: "hdr", value: { video: VIDEO } },
  { case: "imageUpscale", value: { image: PICTURE, scaleFactor: 2 } },
  { case: "multiShot", value: { shots: [{ promptText: "a", durationSeconds: 5 }] } },
  { case: "avatarVideo", value: { who: { case: "avatar", value: "a" }, speech: { case: "text", value: "hello" } } },
];

test("each spec of the contract is generated and quoted", async (t) => {
  const { client, asked } = await accepting(t);

  for (const operation of SPECS) {
    assert.equal((await client.generateSpec({ ...WHERE, requestId: "1", model: "m", operation })).jobId, "job-1");
    assert.equal(await client.quoteSpec({ ...WHERE, requestId: "2", operation }), 5);
  }

  const members = GenerateRequestSchema.oneofs.find((each) => each.name === "operation")?.fields;
  assert.deepEqual(SPECS.map((each) => each.case), members?.map((each) => each.localName));
  same(asked, SPECS.flatMap((operation) => [
    { ...WHERE, requestId: "1", model: "m", operation },
    { ...WHERE, requestId: "2", operation, validateOnly: true },
  ]));
});

test("a request keeps its id over every retry", async (t) => {
  const ids: string[] = [];
  const client = await scripted(t, {
    generate: ({ requestId }) => {
      ids.push(requestId);
      if (ids.length < 3) throw UNAVAILABLE();
      return { job: {} };
    },
  });
  await client.generateSound({ ...WHERE, model: "m", promptText: "rain" });
  await client.generateSound({ ...WHERE, model: "m", promptText: "rain" });

  assert.equal(ids.length, 4);
  assert.deepEqual([new Set(ids.slice(0, 3)).size, new Set(ids).size], [1, 2]);
});

test("a list asks by every filter and order, projects come page by page, and the caller is told", async (t) => {
  const asked: ListVideosRequest[] = [];
  const pages: [string, number][] = [];
  const client = await scripted(t, {
    listVideos: (request) => (asked.push(request), asked.length === 1 ? { nextPageToken: "2" } : {}),
    listProjects: ({ pageToken, pageSize }) => {
      pages.push([pageToken, pageSize]);
      const projectId = `p${pages.length.toFixed()}`;
      return { projects: [{ projectId }], nextPageToken: pages.length === 1 ? "2" : "" };
    },
    getCaller: () => ({ name: "studio", tokensRequired: true }),
  });
  const listed = {
    projectId: "p",
    models: ["gen4_turbo"],
    labels: { take: "1" },
    createdFrom: new Date(0),
    createdBefore: new Date(1500),
    newestFirst: true,
  };

  for await (const job of client.list(listed)) assert.fail(job.jobId);
  const projects: string[] = [];
  for await (const { projectId } of client.projects({ pageSize: 1 })) projects.push(projectId);
  const { name, tokensRequired } = await client.caller();

  assert.deepEqual(asked.map(({ pageToken }) => pageToken), ["", "2"]);
  for (const { projectId, models, labels, order, createdFrom, createdBefore } of asked) {
    assert.deepEqual([projectId, models, labels, order], ["p", ["gen4_turbo"], { take: "1" }, ListOrder.NEWEST_FIRST]);
    assert.deepEqual([createdFrom?.seconds, createdFrom?.nanos], [0n, 0]);
    assert.deepEqual([createdBefore?.seconds, createdBefore?.nanos], [1n, 500_000_000]);
  }
  assert.deepEqual([projects, pages], [["p1", "p2"], [["", 1], ["2", 1]]]);
  assert.deepEqual([name, tokensRequired], ["studio", true]);
});

test("lists, watches and models ask for all kinds, or for some", async (t) => {
  const listed: MediaKind[][] = [];
  const watched: MediaKind[][] = [];
  const models: MediaKind[][] = [];
  const client = await scripted(t, {
    listVideos: ({ kinds }) => (listed.push(kinds), {}),
    listModels: ({ kinds }) => (models.push(kinds), {}),
    watchProgress: async function* ({ kinds, jobIds }) {
      watched.push(kinds);
      if (jobIds.length === 0) yield checkpoint(watched.length);
      else yield event(3, "job-1", JobState.SUCCEEDED);
      throw UNAVAILABLE();
    },
  });
  const kinds = [MediaKind.IMAGE];

  for await (const job of client.list()) assert.fail(job.jobId);
  for await (const job of client.list({ kinds })) assert.fail(job.jobId);
  await client.models();
  await client.models({ kinds });
  for await (const { revision } of client.watch({ projectId: "p" })) if (revision === 2n) break;
  for await (const { revision } of client.watch({ jobIds: ["job-1"], kinds })) assert.equal(revision, 3n);

  assert.deepEqual(listed, [[...ALL_KINDS], kinds]);
  assert.deepEqual(models, [[...ALL_KINDS], kinds]);
  // Resuming asks for the same; jobs that are named are watched whatever they make.
  assert.deepEqual(watched, [[...ALL_KINDS], [...ALL_KINDS], []]);
  assert.deepEqual([0, ...ALL_KINDS], Object.values(MediaKind).filter((value) => typeof value === "number"));
});

test("a misspelt name is refused with the nearest that there is, and nothing is sent", async (t) => {
  const { client, asked } = await accepting(t);
  // What the compiler refuses, and plain JavaScript does not.
  const misspelt = { ...WHERE, model: "gen4.5", promtText: "a rocket", maxCredit: 1, requestID: "order-42", zzz: 1 };
  const nearest = [
    'there is no "promtText" (did you mean "promptText"?)',
    'there is no "maxCredit" (did you mean "maxCredits"?)',
    'there is no "requestID" (did you mean "requestId"?)',
    'there is no "zzz"',
  ].join("; ");
  const others = nearest.slice(nearest.indexOf('there is no "maxCredit"'));
  const given = misspelt as never;

  await assert.rejects(client.generate(given), new TypeError(nearest));
  await assert.rejects(client.quote(given), new TypeError(nearest));
  for (const verb of [client.generateImage, client.generateSpeech, client.generateSound, client.generateSpec]) {
    await assert.rejects(verb.call(client, given), (error: Error) => error instanceof TypeError && error.message.includes(others));
  }
  assert.throws(() => client.watch({ projectId: "p", afterRevison: 3 } as never), /did you mean "afterRevision"/);
  await assert.rejects(client.list({ newest: true } as never).next(), /there is no "newest"/);
  await assert.rejects(client.films.plan({ projectId: "p", filmId: "f", script: "", settngs: {} } as never), /"settings"/);
  await assert.rejects(client.films.start({ projectId: "p", filmId: "f", maxCredit: 1 } as never), /"maxCredits"/);
  assert.equal(asked.length, 0);
});
