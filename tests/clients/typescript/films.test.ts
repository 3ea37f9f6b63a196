/** Films: what reaches the wire, pages put together, and the whole way over the real service. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Captions, WireClient, FilmGate, FilmNotFound, FilmStage, FilmState, InvalidRequest, OnShotFailure, PlanChanged } from "@evergreen/video";
import {
  type ApproveFilmRequest,
  ApproveFilmRequestSchema,
  type EditFilmRequest,
  type ExportFilmRequest,
  ExportFilmRequestSchema,
  type FilmSchema,
  type GetFilmRequest,
  type ListFilmsRequest,
  type PlanFilmRequest,
  PlanFilmRequestSchema,
  type StartFilmRequest,
  StartFilmRequestSchema,
} from "@evergreen/video/v1/film";

import { Rig, ROOT } from "./rig.js";
import { scripted, UNAVAILABLE } from "./scripted.js";

const FILM = { projectId: "p", filmId: "f" };
const rig = new Rig();
let client: WireClient;

before(async () => {
  await rig.open();
  client = new WireClient(rig.address);
});
after(async () => {
  client?.close();
  await rig.close();
});

/** One page of a film: a scene, and what it costs. */
function page(number: number): MessageInitShape<typeof FilmSchema> {
  const sceneId = `scene-${number}`;
  return { scenes: [{ scene: { sceneId } }], quote: { credits: 9, items: [{ shotId: `${sceneId}.1`, credits: 3 }] } };
}

test("a plan keeps its request id over every retry, and has every field", async (t) => {
  const asked: PlanFilmRequest[] = [];
  const films = {
    planFilm: (request: PlanFilmRequest) => {
      asked.push(request);
      if (asked.length < 3) throw UNAVAILABLE();
      return { film: page(1), changes: { added: ["scene-1"] } };
    },
  };
  const client = await scripted(t, {}, {}, films);

  const fields = { ...FILM, script: "A door.", settings: { aspect: "9:16" }, cast: [{ name: "Ada" }], planRevision: 2 };
  const answer = await client.films.plan({ ...fields, validateOnly: true });
  await client.films.plan({ ...fields, requestId: "mine" });

  assert.deepEqual(answer.changes?.added, ["scene-1"]);
  assert.deepEqual(asked[0], asked[2]);
  const requestId = asked[0]!.requestId;
  assert.match(requestId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(asked[0], create(PlanFilmRequestSchema, { ...fields, requestId, validateOnly: true }));
  assert.deepEqual(asked[3], create(PlanFilmRequestSchema, { ...fields, requestId: "mine" }));
});

test("a film of several pages is put together, after a plan and an edit too", async (t) => {
  const asked: GetFilmRequest[] = [];
  const edits: EditFilmRequest[] = [];
  const client = await scripted(t, {}, {}, {
    planFilm: () => ({ film: page(1), nextPageToken: "1" }),
    editFilm: (request) => {
      edits.push(request);
      return { film: page(1), nextPageToken: "1" };
    },
    getFilm: (request) => {
      asked.push(request);
      const number = Number(request.pageToken || 0);
      return { film: page(number + 1), nextPageToken: number < 2 ? `${number + 1}` : "" };
    },
  });

  const edit = { edit: { case: "deleteSceneId" as const, value: "scene-9" } };
  const found = [
    await client.films.get({ ...FILM, planRevision: 4, sceneIds: ["scene-1", "scene-2", "scene-3"] }),
    (await client.films.plan({ ...FILM, script: "A door." })).film!,
    (await client.films.edit({ ...FILM, planRevision: 4, edits: [edit] })).film!,
  ];

  for (const film of found) {
    assert.deepEqual(film.scenes.map((each) => each.scene?.sceneId), ["scene-1", "scene-2", "scene-3"]);
    assert.deepEqual(film.quote?.items.map((each) => each.shotId), ["scene-1.1", "scene-2.1", "scene-3.1"]);
  }
  assert.deepEqual(asked.map((each) => each.pageToken), ["", "1", "2", "1", "2", "1", "2"]);
  assert.deepEqual(asked.map((each) => each.planRevision), [4, 4, 4, 0, 0, 0, 0]);
  assert.deepEqual(asked.map((each) => each.sceneIds.length), [3, 3, 3, 0, 0, 0, 0]);
  assert.deepEqual(edits.map((each) => [each.planRevision, each.edits[0]?.edit]), [[4, edit.edit]]);
});

test("films are listed page by page, and what a deletion left is told", async (t) => {
  const asked: ListFilmsRequest[] = [];
  const client = await scripted(t, {}, {}, {
    listFilms: (request) => {
      asked.push(request);
      return request.pageToken === "" ? { films: [{ filmId: "a" }], nextPageToken: "n" } : { films: [{ filmId: "b" }] };
    },
    deleteFilm: ({ filmId, deleteScenes }) => ({ left: deleteScenes ? [`${filmId}/images/locked.png`] : [] }),
  });

  const listed: string[] = [];
  for await (const { filmId } of client.films.list({ projectId: "p", states: [FilmState.PLANNED], pageSize: 1 })) {
    listed.push(filmId);
  }

  assert.deepEqual(listed, ["a", "b"]);
  assert.deepEqual(asked.map((each) => [each.pageToken, each.pageSize, each.states]), [
    ["", 1, [FilmState.PLANNED]],
    ["n", 1, [FilmState.PLANNED]],
  ]);
  assert.deepEqual(await client.films.delete(FILM), []);
  assert.deepEqual(await client.films.delete({ ...FILM, deleteScenes: true }), ["f/images/locked.png"]);
});

test("an export names its forms, and keeps its request id over a retry", async (t) => {
  const asked: ExportFilmRequest[] = [];
  const client = await scripted(t, {}, {}, {
    exportFilm: (request) => {
      asked.push(request);
      if (asked.length === 1) throw UNAVAILABLE();
      return { film: page(1), nextPageToken: "1" };
    },
    getFilm: () => ({ film: page(2) }),
  });

  const profiles = [{ name: "tall", captions: Captions.BURNED, crf: 23 }];
  const fields = { ...FILM, planRevision: 3, profiles, missing: OnShotFailure.STILL };
  const film = await client.films.export(fields);

  assert.deepEqual(film.scenes.map((each) => each.scene?.sceneId), ["scene-1", "scene-2"]);
  assert.deepEqual(asked[0], asked[1]);
  assert.deepEqual(asked[1], create(ExportFilmRequestSchema, { ...fields, requestId: asked[0]!.requestId }));
  assert.match(asked[0]!.requestId, /^[0-9a-f-]{36}$/);
});

test("a run is started for a sum, approved as it was read, and cancelled", async (t) => {
  const started: StartFilmRequest[] = [];
  const approved: ApproveFilmRequest[] = [];
  const first = { scenes: [{ scene: { sceneId: "scene-1" } }] };
  const status = { ...FILM, run: 2, revision: 7n, planRevision: 3, state: FilmState.AWAITING_APPROVAL };
  const client = await scripted(t, {}, {}, {
    startFilm: (request) => {
      started.push(request);
      if (started.length < 3) throw UNAVAILABLE();
      return { film: { ...first, status }, nextPageToken: "1" };
    },
    approveFilm: (request) => {
      approved.push(request);
      return { film: { ...first, status } };
    },
    cancelFilm: ({ run }) => ({ film: { ...first, status: { ...status, run } } }),
    getFilm: () => ({ film: page(2) }),
  });

  const finishBy = new Date("2030-01-01T00:00:00Z");
  const fields = { ...FILM, planRevision: 3, maxCredits: 0, gates: [FilmGate.STORYBOARD], stopAfter: FilmStage.CLIPS };
  const film = await client.films.start({ ...fields, finishBy });
  await client.films.approve({ status: film.status!, maxCredits: 300 });
  const cancelled = await client.films.cancel({ ...FILM, run: 2 });

  assert.deepEqual(film.scenes.map((each) => each.scene?.sceneId), ["scene-1", "scene-2"]);
  assert.deepEqual(started[0], started[2]);
  const requestId = started[0]!.requestId;
  const expected = create(StartFilmRequestSchema, { ...fields, requestId, finishBy: timestampFromDate(finishBy) });
  assert.deepEqual(started[0], expected);
  const { run, revision, planRevision } = status;
  assert.deepEqual(approved, [
    create(ApproveFilmRequestSchema, { ...FILM, run, revision, planRevision, maxCredits: 300 }),
  ]);
  assert.equal(cancelled.status?.run, 2);
});

test("a script becomes a film, which is edited, listed and deleted", async () => {
  const script = await readFile(join(ROOT, "tests/samples/scripts/the-lamp.fountain"), "utf8");
  const planned = await client.films.plan({ ...FILM, script });
  const style = { edit: { case: "settings" as const, value: { style: "ink on paper" } } };
  const edited = await client.films.edit({ ...FILM, planRevision: 1, edits: [style] });
  const listed: string[] = [];
  for await (const { filmId, planRevision } of client.films.list({ projectId: "p" })) listed.push(`${filmId} ${planRevision}`);

  assert.equal(planned.film?.quote?.credits, 205);
  assert.equal(edited.film?.settings?.style, "ink on paper");
  assert.deepEqual(await client.films.get(FILM), edited.film);
  assert.deepEqual(listed, ["f 2"]);
  await assert.rejects(client.films.edit({ ...FILM, planRevision: 1, edits: [style] }), (error) => {
    assert.ok(error instanceof PlanChanged);
    assert.equal(error.metadata["plan_revision"], "2");
    return true;
  });
  await assert.rejects(client.films.plan({ ...FILM, filmId: "g", script: "" }), (error) => {
    assert.ok(error instanceof InvalidRequest);
    assert.deepEqual([...new Set(error.violations.map((each) => each.field))], ["script"]);
    return true;
  });
  assert.deepEqual(await client.films.delete({ ...FILM, deleteScenes: true }), []);
  await assert.rejects(client.films.get(FILM), FilmNotFound);
});
