/**
 * Follows projects over one WebSocket of the gateway: resumes from a cursor of each, and tells nothing twice.
 *
 * A page has one for all that it shows. A `watch` is for a program: it needs a connection of its own.
 */
import { fromJson, type JsonValue } from "@bufbuild/protobuf";

import type { CallError } from "../call-errors.js";
import { current, guardToken, type Token } from "../endpoint.js";
import { type FilmStatus, FilmStatusSchema, type Job, JobSchema } from "../gen/evergreen/v1/video_pb.js";
import { delayMs, RECONNECT, type Reconnect } from "../reconnect.js";
import { errorOf } from "./problems.js";

/** How the socket is: `ended` comes with the reason, and is for good. */
export type LiveState = "connecting" | "live" | "reconnecting" | "ended";

/** Something that happened to a job, which is as of then and without its request. */
export interface LiveEvent {
  /** Such as `snapshot`, `progress` or `succeeded`; for one that is not known, go by `job.state`. */
  readonly kind: string;
  readonly revision: bigint;
  readonly time: Date;
  readonly job: Job;
}

/** Something that happened to a film, which is as of then. */
export interface LiveFilmEvent {
  /** Such as `film_snapshot` or `film_progress`. */
  readonly kind: string;
  readonly revision: bigint;
  readonly time: Date;
  readonly film: FilmStatus;
}

/** Who is told. */
export interface LiveListener {
  onState?(state: LiveState, error?: CallError): void;
  onEvent(event: LiveEvent): void;
  /** With it, the films of all projects are told too. */
  onFilm?(event: LiveFilmEvent): void;
  /** Everything of the project up to here was told. */
  onCheckpoint?(projectId: string, revision: bigint): void;
  /** Events were missed: read anew what may have ended. Snapshots of all else follow. */
  onGap?(projectId: string): void;
  /** A project cannot be followed, and is not any more. */
  onFailed?(projectId: string, error: CallError): void;
  /** The server's version, of each connection. */
  onWelcome?(version: string): void;
}

/** Options of a socket. */
export interface LiveOptions {
  readonly token?: Token;
  readonly insecure?: boolean;
  readonly reconnect?: Partial<Reconnect>;
}

interface Frame {
  readonly type: string;
  readonly event?: string;
  readonly revision?: string;
  readonly time?: string;
  readonly job?: JsonValue;
  readonly film?: JsonValue;
  readonly projectId?: string;
  readonly version?: string;
  readonly about?: { readonly projectId?: string };
  readonly problem?: Parameters<typeof errorOf>[0];
}

// The server sends something at least every 15 s.
const SILENCE_MS = 45_000;
// By which codes coming back is of no use.
const FINAL: ReadonlyMap<number, string> = new Map([
  [4400, "INVALID_ARGUMENT"],
  [4401, "UNAUTHENTICATED"],
  [4403, "PERMISSION_DENIED"],
]);

/** One socket, kept open until `close`. */
export class Live {
  readonly #url: URL;
  readonly #listener: LiveListener;
  readonly #token: Token | undefined;
  readonly #reconnect: Reconnect;
  /** What is followed, with the revision up to which all was told. */
  readonly #cursors = new Map<string, bigint | undefined>();
  #socket: WebSocket | undefined;
  #open = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;

  /** Takes the gateway's URL. Throws InsecureToken. */
  constructor(url: string, listener: LiveListener, { token, insecure = false, reconnect = {} }: LiveOptions = {}) {
    guardToken(new URL(url), token, insecure);
    this.#url = new URL("/api/v1/socket", url);
    this.#url.protocol = this.#url.protocol === "https:" ? "wss:" : "ws:";
    this.#listener = listener;
    this.#token = token;
    this.#reconnect = { ...RECONNECT, ...reconnect };
    listener.onState?.("connecting");
    this.#connect();
  }

  /** Follows a project: first as it is, then every change. */
  follow(projectId: string): void {
    if (this.#cursors.has(projectId)) return;
    this.#cursors.set(projectId, undefined);
    if (this.#open) this.#subscribe(projectId);
  }

  /** Leaves a project. */
  leave(projectId: string): void {
    if (this.#cursors.delete(projectId) && this.#open) this.#send({ type: "unsubscribe", projectId });
  }

  /** Ends the socket. */
  close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#cursors.clear();
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000);
  }

  #connect(): void {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => void this.#greet(socket);
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#read(JSON.parse(String(data)) as Frame);
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#lost(code);
    };
    this.#listen();
  }

  async #greet(socket: WebSocket): Promise<void> {
    if (this.#token !== undefined) socket.send(JSON.stringify({ type: "hello", token: await current(this.#token) }));
  }

  #read(frame: Frame): void {
    this.#listen();
    const { projectId = "" } = frame;
    switch (frame.type) {
      case "welcome":
        this.#open = true;
        this.#failures = 0;
        this.#listener.onState?.("live");
        this.#listener.onWelcome?.(frame.version ?? "");
        for (const each of this.#cursors.keys()) this.#subscribe(each);
        return;
      case "event":
        return this.#tell(frame);
      case "checkpoint":
        if (!this.#cursors.has(projectId)) return;
        this.#cursors.set(projectId, BigInt(frame.revision ?? 0));
        this.#listener.onCheckpoint?.(projectId, BigInt(frame.revision ?? 0));
        return;
      case "gap":
        this.#cursors.set(projectId, undefined);
        this.#listener.onGap?.(projectId);
        return;
      case "error": {
        const about = frame.about?.projectId ?? "";
        this.#cursors.delete(about);
        this.#listener.onFailed?.(about, errorOf(frame.problem ?? {}));
      }
    }
  }

  #tell(frame: Frame): void {
    const about = { kind: frame.event ?? "", revision: BigInt(frame.revision ?? 0), time: new Date(frame.time ?? 0) };
    if (frame.film !== undefined) {
      const film = fromJson(FilmStatusSchema, frame.film, { ignoreUnknownFields: true });
      if (this.#isNews(film.projectId, about.revision)) this.#listener.onFilm?.({ ...about, film });
      return;
    }
    const job = fromJson(JobSchema, frame.job ?? {}, { ignoreUnknownFields: true });
    if (this.#isNews(job.projectId, about.revision)) this.#listener.onEvent({ ...about, job });
  }

  #isNews(projectId: string, revision: bigint): boolean {
    if (!this.#cursors.has(projectId)) return false;
    const cursor = this.#cursors.get(projectId);
    if (cursor === undefined) return true;
    if (revision <= cursor) return false;
    this.#cursors.set(projectId, revision);
    return true;
  }

  #subscribe(projectId: string): void {
    const cursor = this.#cursors.get(projectId);
    const films = this.#listener.onFilm && { includeFilms: true };
    this.#send({ type: "subscribe", projectId, ...films, ...(cursor !== undefined && { afterRevision: String(cursor) }) });
  }

  #send(frame: object): void {
    this.#socket?.send(JSON.stringify(frame));
  }

  /** A connection that says nothing for too long is dead, whatever the browser thinks. */
  #listen(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      const socket = this.#socket;
      this.#lost(1006);
      socket?.close();
    }, SILENCE_MS);
  }

  #lost(code: number): void {
    clearTimeout(this.#silence);
    this.#socket = undefined;
    this.#open = false;
    const final = FINAL.get(code);
    if (final !== undefined) return this.#listener.onState?.("ended", errorOf({ code: final }));
    this.#failures += 1;
    this.#listener.onState?.("reconnecting");
    this.#timer = setTimeout(() => this.#connect(), delayMs(this.#reconnect, this.#failures, undefined));
  }
}
