/** Films: scripts that become plans of scenes and shots with a quote, and runs; the calls of `FilmService`. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, type Transport } from "@connectrpc/connect";

import type { Calls, Options } from "./calls.js";
import { ApproveFilmRequestSchema, type CastMemberSchema, EditFilmRequestSchema, type EditFilmResponse, ExportFilmRequestSchema, type ExportProfileSchema, type Film, type FilmEditSchema, type FilmRedo, FilmService, type FilmSettingsSchema, type GetFilmRequest, GetFilmRequestSchema, type OnShotFailure, PlanFilmRequestSchema, type PlanFilmResponse, type ScriptFormat, StartFilmRequestSchema } from "./gen/evergreen/v1/film_pb.js";
import { type FilmGate, type FilmStage, type FilmState, type FilmStatus } from "./gen/evergreen/v1/video_pb.js";
import type { OnUnknownSubmission } from "./gen/evergreen/v1/video_pb.js";
import { newId } from "./ids.js";
import { checkNames, type Names } from "./names.js";

/** Names a film. */
export interface FilmName {
  readonly projectId: string;
  readonly filmId: string;
}

/** A script that is to be planned. */
export interface PlanFields extends FilmName {
  readonly script: string;
  readonly settings?: MessageInitShape<typeof FilmSettingsSchema>;
  readonly cast?: MessageInitShape<typeof CastMemberSchema>[];
  /** Default: found out. */
  readonly format?: ScriptFormat;
  /** The plan that is replaced. Default 0: the film must be new. */
  readonly planRevision?: number;
  /** Default: a new one for each call; give your own to be able to repeat a call whose answer was lost. */
  readonly requestId?: string;
  readonly validateOnly?: boolean;
}

/** Edits of the plan that has been read. */
export interface EditFields extends FilmName {
  readonly planRevision: number;
  readonly edits: MessageInitShape<typeof FilmEditSchema>[];
  readonly validateOnly?: boolean;
}

/** A run that is to be started. */
export interface StartFields extends FilmName {
  /** The plan that has been read. */
  readonly planRevision: number;
  /** The most that the whole run may cost. */
  readonly maxCredits: number;
  readonly gates?: FilmGate[];
  /** Default: the cut is made. */
  readonly stopAfter?: FilmStage;
  readonly redo?: FilmRedo;
  readonly onShotFailure?: OnShotFailure;
  readonly maxAttempts?: number;
  readonly onUnknownSubmission?: OnUnknownSubmission;
  readonly priority?: number;
  readonly finishBy?: Date;
  /** Default: a new one for each call; give your own to be able to repeat a call whose answer was lost. */
  readonly requestId?: string;
}

/** Cuts that are to be made of what is there. */
export interface ExportFields extends FilmName {
  /** The newest plan, or an older one that is kept. */
  readonly planRevision: number;
  /** Default: those of the plan. */
  readonly profiles?: MessageInitShape<typeof ExportProfileSchema>[];
  /** What stands in for an output that is not there or is stale. Default: nothing, and the request is refused. */
  readonly missing?: OnShotFailure;
  /** Default: a new one for each call; give your own to be able to repeat a call whose answer was lost. */
  readonly requestId?: string;
}

const FILM_NAMES: Names<FilmName> = { projectId: true, filmId: true };
const PLAN_NAMES: Names<PlanFields> = {
  ...FILM_NAMES,
  script: true,
  settings: true,
  cast: true,
  format: true,
  planRevision: true,
  requestId: true,
  validateOnly: true,
};
const EDIT_NAMES: Names<EditFields> = { ...FILM_NAMES, planRevision: true, edits: true, validateOnly: true };
const START_NAMES: Names<StartFields> = {
  ...FILM_NAMES,
  planRevision: true,
  maxCredits: true,
  gates: true,
  stopAfter: true,
  redo: true,
  onShotFailure: true,
  maxAttempts: true,
  onUnknownSubmission: true,
  priority: true,
  finishBy: true,
  requestId: true,
};
const EXPORT_NAMES: Names<ExportFields> = {
  ...FILM_NAMES,
  planRevision: true,
  profiles: true,
  missing: true,
  requestId: true,
};

/** The calls for films, available as `client.films`. Only `start` and `approve` lead to spending. */
export class Films {
  readonly #stub: Client<typeof FilmService>;
  readonly #calls: Calls;

  constructor(transport: Transport, calls: Calls) {
    this.#stub = createClient(FilmService, transport);
    this.#calls = calls;
  }

  /**
   * Plans a script, and returns the film with its quote, and what the plan changes. Rejects with PlanChanged,
   * SceneTaken, and InvalidRequest with every fault of the script.
   */
  async plan(fields: PlanFields, options?: Options): Promise<PlanFilmResponse> {
    checkNames(fields, PLAN_NAMES);
    const request = create(PlanFilmRequestSchema, { requestId: newId(), ...fields });
    const answer = await this.#calls.call(this.#stub.planFilm, request, options);
    await this.#complete(answer.film, answer.nextPageToken, asked(fields), options);
    return answer;
  }

  /**
   * Changes a plan by all of the edits or none. Rejects with PlanChanged if it is not the newest: also where the edits
   * were made, and the answer was lost on its way.
   */
  async edit(fields: EditFields, options?: Options): Promise<EditFilmResponse> {
    checkNames(fields, EDIT_NAMES);
    const request = create(EditFilmRequestSchema, fields);
    const answer = await this.#calls.call(this.#stub.editFilm, request, options);
    await this.#complete(answer.film, answer.nextPageToken, asked(fields), options);
    return answer;
  }

  /** Returns a film, by default with its newest plan and all scenes. Fetches one page after the other. */
  async get(
    name: FilmName & { readonly planRevision?: number; readonly sceneIds?: readonly string[] },
    options?: Options,
  ): Promise<Film> {
    const request = asked(name);
    request.planRevision = name.planRevision ?? 0;
    request.sceneIds = [...(name.sceneIds ?? [])];
    const answer = await this.#calls.call(this.#stub.getFilm, request, options);
    await this.#complete(answer.film, answer.nextPageToken, request, options);
    if (answer.film === undefined) throw new Error("the service answered without the film");
    return answer.film;
  }

  /** Yields a project's films in the order of their ids. Fetches one page after the other. */
  async *list(
    listed: { readonly projectId: string; readonly states?: readonly FilmState[]; readonly pageSize?: number },
    options?: Options,
  ): AsyncGenerator<FilmStatus, void, undefined> {
    const { projectId, states = [], pageSize = 0 } = listed;
    const request = { projectId, states: [...states], pageSize };
    for await (const page of this.#calls.pages(this.#stub.listFilms, request, options)) yield* page.films;
  }

  /**
   * Starts a run of the plan that has been read, for at most `maxCredits`; returns the film with the run. Rejects with
   * PlanChanged, FilmBusy, FilmCreditsExceeded, ProjectCreditsExceeded, PriceUnknown.
   */
  async start(started: StartFields, options?: Options): Promise<Film> {
    checkNames(started, START_NAMES);
    const { finishBy, ...fields } = started;
    const times = finishBy === undefined ? {} : { finishBy: timestampFromDate(finishBy) };
    const request = create(StartFilmRequestSchema, { requestId: newId(), ...fields, ...times });
    return await this.#whole(await this.#calls.call(this.#stub.startFilm, request, options), fields, options);
  }

  /**
   * Has the run of a film go on that waited as `status` says, for at most `maxCredits` in all; returns the film. The
   * same approval again changes nothing. `planRevision` is the plan that is approved, by default that of `status`.
   * Rejects with FilmChanged if the run is not as it was, PlanChanged, FilmCreditsExceeded, ProjectCreditsExceeded.
   */
  async approve(
    { status, maxCredits, planRevision = status.planRevision }: {
      readonly status: FilmStatus;
      readonly maxCredits: number;
      readonly planRevision?: number;
    },
    options?: Options,
  ): Promise<Film> {
    const { projectId, filmId, run, revision } = status;
    const request = create(ApproveFilmRequestSchema, { projectId, filmId, run, planRevision, maxCredits, revision });
    return await this.#whole(await this.#calls.call(this.#stub.approveFilm, request, options), status, options);
  }

  /**
   * Starts a run that makes cuts of what is there, and spends nothing; returns the film with the run. Rejects with
   * OutputMissing, PlanNotFound, FilmBusy.
   */
  async export(fields: ExportFields, options?: Options): Promise<Film> {
    checkNames(fields, EXPORT_NAMES);
    const request = create(ExportFilmRequestSchema, { requestId: newId(), ...fields });
    return await this.#whole(await this.#calls.call(this.#stub.exportFilm, request, options), fields, options);
  }

  /** Has a run end; what was made stays. One that ends, or has ended, is left as it is. Rejects with RunNotFound. */
  async cancel({ projectId, filmId, run }: FilmName & { readonly run: number }, options?: Options): Promise<Film> {
    const answer = await this.#calls.call(this.#stub.cancelFilm, { projectId, filmId, run }, options);
    return await this.#whole(answer, { projectId, filmId }, options);
  }

  /**
   * Deletes a film; with `deleteScenes` also its folders with all files. This cannot be undone. Returns the paths,
   * `{scene}/…`, of files that others put there and that the storage cannot remove.
   */
  async delete(
    { projectId, filmId, deleteScenes = false }: FilmName & { readonly deleteScenes?: boolean },
    options?: Options,
  ): Promise<readonly string[]> {
    return (await this.#calls.call(this.#stub.deleteFilm, { projectId, filmId, deleteScenes }, options)).left;
  }

  async #whole(
    answer: { readonly film?: Film | undefined; readonly nextPageToken: string },
    name: FilmName,
    options?: Options,
  ): Promise<Film> {
    await this.#complete(answer.film, answer.nextPageToken, asked(name), options);
    if (answer.film === undefined) throw new Error("the service answered without the film");
    return answer.film;
  }

  /** Adds the scenes of the pages that follow. */
  async #complete(film: Film | undefined, next: string, request: GetFilmRequest, options?: Options): Promise<void> {
    for (let pageToken = next; film !== undefined && pageToken !== ""; ) {
      const page = await this.#calls.call(this.#stub.getFilm, { ...request, pageToken }, options);
      film.scenes.push(...(page.film?.scenes ?? []));
      film.quote?.items.push(...(page.film?.quote?.items ?? []));
      pageToken = page.nextPageToken;
    }
  }
}

function asked({ projectId, filmId }: FilmName): GetFilmRequest {
  return create(GetFilmRequestSchema, { projectId, filmId });
}
