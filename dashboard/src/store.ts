/**
 * Every job that the page knows, one signal each: what a list shows and what a job's own screen shows is the same thing.
 *
 * A change of a job's progress draws that job's row and nothing else. Lists depend on `shape`, which changes when a job comes,
 * or becomes another's neighbour.
 */
import type { Job } from "@evergreen/video/v1/video";
import { type FilmStatus, isFinal, JobState, Live, type LiveEvent, type LiveState, type Project, Unauthenticated } from "@evergreen/video/web";
import { batch, computed, type Signal, signal } from "@preact/signals";

import { client, type Fault, faultOf, session } from "./api.js";
import { isKnown, promptOf } from "./jobs.js";

const GATHER_MS = 250;
const PAGE = 200;
const FEED = 12;
const DRAW_MS = 16;
/** How many jobs a page keeps that is open for days. */
const MOST = 5000;

export const UNFINISHED = [JobState.QUEUED, JobState.RUNNING, JobState.NEEDS_ATTENTION, JobState.CANCELLING] as const;

const known = new Map<string, Signal<Job>>();
const shape = signal(0);
/** Ids whose request has been asked for, and of those that were stored, asked for since. */
const asked = new Set<string>();
const listeners = new Set<(event: LiveEvent) => void>();
let gathering: ReturnType<typeof setTimeout> | undefined;

function turnOf(job: Job): string {
  return promptOf(job) === undefined ? job.jobId : `${job.jobId} stored`;
}

function isMissing(job: Job | undefined): job is Job {
  return job !== undefined && !isKnown(job) && !asked.has(turnOf(job));
}

export const live = signal<LiveState>("connecting");
/** No signal, since it changes with everything: who shows it looks at it once a second. */
export const revisions = new Map<string, bigint>();
/** Films by project and id. */
export const films = signal<ReadonlyMap<string, FilmStatus>>(new Map());

export function putFilm(film: FilmStatus): void {
  const key = `${film.projectId}/${film.filmId}`;
  const before = films.peek().get(key);
  // Revisions count within a run.
  const newer = before === undefined || film.run > before.run || (film.run === before.run && film.revision >= before.revision);
  if (newer) films.value = new Map(films.peek()).set(key, film);
}

/** The newest things that happened, for the side of the list. */
export const feed = signal<readonly LiveEvent[]>([]);
export const projects = signal<readonly Project[] | undefined>(undefined);
/** What kept them from being read, as long as none are known. */
export const projectsFault = signal<Fault | undefined>(undefined);
/** The version of the server that the page began with, and the one that answers now. */
export const versions = signal<{ readonly first: string; readonly last: string }>({ first: "", last: "" });
/** Projects whose snapshots have all been told. */
export const loaded = signal<ReadonlySet<string>>(new Set());
/** The revision of each project from which on the socket tells everything. */
const since = new Map<string, bigint>();

/** Whether what comes after a revision of a project comes by the socket. */
export function tellsAfter(projectId: string, revision: bigint): boolean {
  const first = since.get(projectId);
  return first !== undefined && first <= revision;
}

/** All jobs, newest first. */
export const all = computed(() => {
  shape.value;
  return [...known.values()].sort((a, b) => (a.peek().jobId < b.peek().jobId ? 1 : -1));
});

export function find(jobId: string): Signal<Job> | undefined {
  shape.value;
  return known.get(jobId);
}

/** Takes a job as it came, if it is newer than what is known. */
export function put(job: Job): void {
  const found = known.get(job.jobId);
  if (found === undefined) {
    known.set(job.jobId, signal(job));
    if (known.size > MOST) forget();
    shape.value += 1;
    return;
  }
  const before = found.peek();
  if (job.revision < before.revision) return;
  // Events come without the request, which never changes.
  if (promptOf(job) === undefined && promptOf(before) !== undefined) {
    if (before.request) job.request = before.request;
    if (before.generateRequest) job.generateRequest = before.generateRequest;
  }
  found.value = job;
  if (job.state !== before.state || job.stage !== before.stage || promptOf(before) !== promptOf(job) || isKnown(before) !== isKnown(job)) shape.value += 1;
}

/** Forgets the tenth that ended longest ago. */
function forget(): void {
  const ended = [...known.keys()].filter((id) => isFinal(known.get(id)!.peek())).sort();
  for (const id of ended.slice(0, MOST / 10)) {
    known.delete(id);
    asked.delete(id);
    asked.delete(`${id} stored`);
  }
}

export function putAll(jobs: readonly Job[]): void {
  batch(() => jobs.forEach(put));
}

/** Calls back for each event, until the returned function is called. */
export function listen(listener: (event: LiveEvent) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Events that have come since the page was drawn: one drawing for all of them, however many a second there are. */
let arrived: LiveEvent[] = [];
let drawing: ReturnType<typeof setTimeout> | undefined;

function draw(): void {
  clearTimeout(drawing);
  drawing = undefined;
  const events = arrived;
  arrived = [];
  const news = events.filter(({ kind }) => kind !== "progress" && kind !== "snapshot");
  batch(() => {
    for (const event of events) {
      put(event.job);
      revisions.set(event.job.projectId, event.revision);
    }
    if (news.length > 0) feed.value = [...news.reverse(), ...feed.peek()].slice(0, FEED);
    for (const event of events) listeners.forEach((listener) => listener(event));
  });
  if (events.some(({ job }) => isMissing(known.get(job.jobId)?.peek()))) gather();
  if (news.length > 0) recount();
}

let socket: Live | undefined;
const followed = new Set<string>();

/** Follows a project, from now on and for as long as the page is open. */
export function follow(projectId: string): void {
  if (projectId === "") return;
  followed.add(projectId);
  socket?.follow(projectId);
}

/** Opens the socket; closes it when the session ends. */
export function begin(): void {
  socket?.close();
  socket = new Live(location.origin, {
    onState(state, error) {
      live.value = state;
      if (error instanceof Unauthenticated) session.value = { is: "out" };
    },
    onWelcome(version) {
      versions.value = { first: versions.peek().first || version, last: version };
    },
    onEvent(event) {
      arrived.push(event);
      drawing ??= setTimeout(draw, DRAW_MS);
    },
    onFilm({ kind, film }) {
      if (kind !== "film_deleted") return putFilm(film);
      const left = new Map(films.peek());
      left.delete(`${film.projectId}/${film.filmId}`);
      films.value = left;
    },
    onCheckpoint(projectId, revision) {
      draw();
      if (!since.has(projectId)) since.set(projectId, revision);
      revisions.set(projectId, revision);
      if (!loaded.peek().has(projectId)) loaded.value = new Set(loaded.peek()).add(projectId);
    },
    onGap(projectId) {
      draw();
      void missed(projectId);
    },
    onFailed: (_, error) => void faultOf(error),
  });
  followed.forEach((each) => socket?.follow(each));
}

export function end(): void {
  socket?.close();
  socket = undefined;
  clearTimeout(drawing);
  drawing = undefined;
  arrived = [];
  known.clear();
  asked.clear();
  since.clear();
  batch(() => {
    feed.value = [];
    films.value = new Map();
    projects.value = projectsFault.value = undefined;
    loaded.value = new Set();
    shape.value += 1;
  });
}

/** What was unfinished may have ended in a gap: it is read again. */
async function missed(projectId: string): Promise<void> {
  for (const each of [...known.values()]) {
    const job = each.peek();
    if (job.projectId === projectId && (UNFINISHED as readonly JobState[]).includes(job.state)) await client.status(job.jobId).then(put, faultOf);
  }
}

/** Requests are in no event: those of new jobs are gathered, and read by one list. */
function gather(): void {
  gathering ??= setTimeout(async () => {
    gathering = undefined;
    const missing = new Map<string, Set<string>>();
    for (const [id, each] of known) {
      const job = each.peek();
      if (!isMissing(job)) continue;
      asked.add(turnOf(job));
      missing.set(job.projectId, (missing.get(job.projectId) ?? new Set()).add(id));
    }
    for (const [projectId, ids] of missing) await read(projectId, ids).catch(faultOf);
  }, GATHER_MS);
}

async function read(projectId: string, ids: Set<string>): Promise<void> {
  let jobs: Job[] = [];
  for await (const job of client.list({ projectId, newestFirst: true, pageSize: ids.size > 50 ? PAGE : 50 })) {
    ids.delete(job.jobId);
    jobs.push(job);
    if (jobs.length === PAGE) {
      putAll(jobs);
      jobs = [];
    }
    // What is older than a day's worth of lists is shown by its id.
    if (ids.size === 0 || asked.size > 20_000) break;
  }
  putAll(jobs);
}

let counting: ReturnType<typeof setTimeout> | undefined;

/** Reads the projects' counts, soon, and once for whatever happens until then. */
export function recount(delay = 1000): void {
  counting ??= setTimeout(async () => {
    counting = undefined;
    try {
      const found: Project[] = [];
      for await (const project of client.projects({ pageSize: PAGE })) found.push(project);
      projects.value = found;
      projectsFault.value = undefined;
    } catch (error) {
      const fault = faultOf(error);
      if (projects.peek() === undefined) projectsFault.value = fault;
    }
  }, delay);
}
