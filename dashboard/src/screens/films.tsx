/** Films: a script becomes a plan with its price, a run of it for a sum, a contact sheet, and a cut. */
import { type CallError, type Film, FilmGate, FilmStage, FilmState, type FilmStatus, InvalidRequest, type PlanFilmResponse, Right } from "@evergreen/video/web";
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { client, may, said } from "../api.js";
import { bytes, count, number } from "../format.js";
import { useLoad } from "../loading.js";
import { Confirm, Dialog, Empty, Fact, Failed, Icon, Picture, Skeleton, tell } from "../parts.js";
import { go, place, to } from "../router.js";
import { useTitle } from "../shell.js";
import { films, find, putFilm } from "../store.js";
import { formId } from "./clip.js";

const QUOTE_MS = 600;
const MOST = 500;
const { PLANNED, RUNNING, AWAITING_APPROVAL, NEEDS_ATTENTION, CANCELLING, SUCCEEDED, FAILED, CANCELLED } = FilmState;

const STATES: Readonly<Record<number, readonly [word: string, tone: string, icon: string]>> = {
  [PLANNED]: ["Planned", "", "file"],
  [RUNNING]: ["Running", "running", "turn"],
  [AWAITING_APPROVAL]: ["Waits for approval", "warn", "bell"],
  [NEEDS_ATTENTION]: ["Needs attention", "warn", "alert"],
  [CANCELLING]: ["Cancelling", "gone", "turn"],
  [SUCCEEDED]: ["Succeeded", "ok", "check"],
  [FAILED]: ["Failed", "bad", "x"],
  [CANCELLED]: ["Cancelled", "gone", "x"],
};
const STAGES: Readonly<Record<number, string>> = {
  [FilmStage.STORYBOARD]: "storyboard",
  [FilmStage.CLIPS]: "clips",
  [FilmStage.ASSEMBLING]: "cut",
  [FilmStage.PUBLISHING]: "publishing",
};
const isOn = ({ state }: FilmStatus) => [RUNNING, AWAITING_APPROVAL, NEEDS_ATTENTION, CANCELLING].includes(state);

function FilmState_({ film, pill = false }: { readonly film: FilmStatus; readonly pill?: boolean }) {
  const [word, tone, icon] = STATES[film.state] ?? ["Unknown", "gone", "clock"];
  return (
    <span class={`state ${tone} ${pill ? "pill" : ""}`}>
      <Icon name={icon} />
      {word}
    </span>
  );
}

function Way({ film }: { readonly film: FilmStatus }) {
  const at = film.stage - FilmStage.STORYBOARD;
  const done = film.state === SUCCEEDED;
  return (
    <div class="way">
      <div class="line">
        <FilmState_ film={film} />
        <span class="faint num">{isOn(film) && `${STAGES[film.stage] ?? ""} · ${Math.round(film.progress * 100)} %`}</span>
      </div>
      <div class={`steps even ${done ? "ok" : ""}`} aria-hidden="true">
        {[0, 1, 2, 3].map((index) => (
          <i key={index} class={done ? "" : index < at ? "done" : index === at && isOn(film) ? "at" : ""} />
        ))}
      </div>
    </div>
  );
}

/** Plans a script; what is wrong with it, and what it costs, is said while one writes. */
function PlanDialog({ projectId }: { readonly projectId: string }) {
  const id = useMemo(formId, []);
  const filmId = useSignal("");
  const script = useSignal("");
  const told = useSignal<{ readonly answer?: PlanFilmResponse; readonly fault?: string }>({});
  const busy = useSignal(false);
  const fields = () => ({ projectId, filmId: filmId.value.trim() || "film-1", script: script.value });
  const faultOf = (error: unknown) => (error instanceof InvalidRequest ? error.violations.map(({ field, description }) => `${field}: ${description}`).join("; ") || said(error) : said(error));
  useSignalEffect(() => {
    const asked = fields();
    if (asked.script.trim() === "") return;
    const controller = new AbortController();
    const timer = setTimeout(() => {
      client.films.plan({ ...asked, validateOnly: true }, { signal: controller.signal }).then(
        (answer) => (told.value = { answer }),
        (error: unknown) => {
          if (!controller.signal.aborted) told.value = { fault: faultOf(error) };
        },
      );
    }, QUOTE_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  });
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    try {
      const { film } = await client.films.plan({ ...fields(), requestId: id });
      if (film?.status) putFilm(film.status);
      go(to(["p", projectId, "films", fields().filmId]));
    } catch (error) {
      told.value = { fault: faultOf(error) };
    }
    busy.value = false;
  };
  const { answer, fault } = told.value;
  const shots = answer?.film?.scenes.reduce((sum, { shots }) => sum + shots.length, 0) ?? 0;
  return (
    <Dialog title="New film" side={<span class="dim">{projectId}</span>} onClose={() => place.peek().query.has("plan") && go(to(["p", projectId, "films"]))}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <div class="stack script">
          <label class="field">
            <span>Name</span>
            <input class="in" name="film" placeholder="film-1" value={filmId.value} onInput={(event) => (filmId.value = event.currentTarget.value)} />
          </label>
          <label class="field">
            <span>Script, as Fountain, two columns, Markdown or plain text</span>
            <textarea class="in mono" name="script" rows={14} autofocus value={script.value} onInput={(event) => (script.value = event.currentTarget.value)} />
            {fault && (
              <span class="hint bad" role="alert">
                {fault}
              </span>
            )}
          </label>
        </div>
        <footer>
          <span class="quote" role="status">
            {answer?.film ? (
              <>
                <b class="num">{answer.film.quote?.credits === undefined ? "?" : number(answer.film.quote.credits)}</b> credits for {count(answer.film.scenes.length, "scene")} and {count(shots, "shot")}; planning costs
                nothing
              </>
            ) : (
              "Planning costs nothing."
            )}
          </span>
          <div class="end">
            <button class="btn primary" type="submit" disabled={busy.value || script.value.trim() === ""}>
              Keep the plan
            </button>
          </div>
        </footer>
      </form>
    </Dialog>
  );
}

export function FilmsScreen({ projectId }: { readonly projectId: string }) {
  const { value, fault, again } = useLoad(projectId, async (signal) => {
    if (projectId === "") return true;
    for await (const film of client.films.list({ projectId, pageSize: 100 }, { signal })) {
      putFilm(film);
      if (films.peek().size >= MOST) break;
    }
    return true;
  });
  useTitle(() => "Films");
  const shown = useComputed(() => [...films.value.values()].filter((each) => each.projectId === projectId)).value;
  return (
    <>
      <header class="top">
        <h1>Films</h1>
        <div class="end">
          {may(Right.WRITE) && (
            <a class="btn primary" href={to(["p", projectId || "default", "films"], { plan: "new" })}>
              <Icon name="plus" />
              New film
            </a>
          )}
        </div>
      </header>
      {fault.value && <Failed fault={fault.value} again={again} />}
      {!fault.value && value.value === undefined && <Skeleton rows={3} />}
      {!fault.value && value.value && shown.length === 0 && (
        <Empty icon="cut" title="No films yet">
          <p class="dim">A script becomes a plan of scenes and shots with its price. Nothing is spent before you say how much.</p>
        </Empty>
      )}
      {shown.length > 0 && (
        <ul class="jobs">
          {shown.map((film) => (
            <li class="job film" key={film.filmId}>
              <div class="what">
                <a href={to(["p", projectId, "films", film.filmId])}>{film.filmId}</a>
                <p class="meta">
                  <span>{film.run > 0 ? `run ${film.run}` : "not started"}</span>
                  {film.clips && film.clips.total > 0 && <span>{`${film.clips.done + film.clips.reused} of ${count(film.clips.total, "clip")}`}</span>}
                </p>
              </div>
              <Way film={film} />
              <div class="pay">
                <b class="num">{number(film.spentCredits)}</b>
                {film.run > 0 ? `of ${number(film.maxCredits)}` : "spent"}
              </div>
            </li>
          ))}
        </ul>
      )}
      {place.value.query.has("plan") && <PlanDialog projectId={projectId} />}
    </>
  );
}

/** What one may do now: start, approve what was made so far, or stop it. */
function Act({ film, status, again }: { readonly film: Film; readonly status: FilmStatus; readonly again: () => void }) {
  const quote = film.quote?.credits;
  const id = useMemo(formId, [status.planRevision, status.run]);
  const most = useSignal(String(Math.max(quote ?? 0, status.maxCredits) || ""));
  const gate = useSignal(true);
  const busy = useSignal(false);
  const asking = useSignal(false);
  const run = (work: Promise<Film>, text: string) => {
    busy.value = true;
    work.then(
      (film) => {
        if (film.status) putFilm(film.status);
        tell(text);
        again();
      },
      (error: CallError) => tell(said(error)),
    ).finally(() => (busy.value = false));
  };
  const { projectId, filmId } = status;
  const sum = Number(most.value.replace(",", "."));
  const field = (
    <label class="field">
      <span>At most, credits</span>
      <input class="in num" name="most" inputMode="decimal" value={most.value} onInput={(event) => (most.value = event.currentTarget.value)} />
    </label>
  );
  const mayPay = may(Right.APPROVE) || may(Right.WRITE);
  return (
    <section class="card">
      <h2>{status.state === AWAITING_APPROVAL ? "It waits for you" : isOn(status) ? "It is being made" : "Make it"}</h2>
      {status.state === AWAITING_APPROVAL && (
        <p class="dim">{status.gate === FilmGate.STORYBOARD ? "The pictures are made: look at them below. Clips are what costs most." : "The clips are made: look at them below, before they are cut."}</p>
      )}
      {status.state === NEEDS_ATTENTION && <p class="dim">{status.error?.message ?? "One of its jobs, or what it may cost, needs a decision."}</p>}
      <div class="act">
        {!isOn(status) && mayPay && (
          <>
            {field}
            <label class="tick-of">
              <input class="tick" type="checkbox" checked={gate.value} onChange={(event) => (gate.value = event.currentTarget.checked)} />
              Show me the pictures first
            </label>
            <button class="btn primary" type="button" disabled={busy.value || !(sum > 0)} onClick={() => run(client.films.start({ projectId, filmId, requestId: id, planRevision: status.planRevision, maxCredits: sum, gates: gate.value ? [FilmGate.STORYBOARD] : [] }), "It is on its way")}>
              Start for {sum > 0 ? number(sum) : "…"} at most
            </button>
          </>
        )}
        {(status.state === AWAITING_APPROVAL || status.state === NEEDS_ATTENTION) && mayPay && (
          <>
            {field}
            <button class="btn primary" type="button" disabled={busy.value || !(sum > 0)} onClick={() => run(client.films.approve({ status, maxCredits: sum }), "It goes on")}>
              Approve
            </button>
          </>
        )}
        {isOn(status) && status.state !== CANCELLING && may(Right.WRITE) && (
          <button class="btn danger" type="button" disabled={busy.value} onClick={() => (asking.value = true)}>
            Stop it
          </button>
        )}
      </div>
      {asking.value && (
        <Confirm
          title="Stop this run?"
          say="What is made already stays, and the next run uses it."
          act="Stop it"
          onYes={() => ((asking.value = false), run(client.films.cancel({ projectId, filmId, run: status.run }), "It stops"))}
          onNo={() => (asking.value = false)}
        />
      )}
    </section>
  );
}

function Shots({ film, projectId }: { readonly film: Film; readonly projectId: string }) {
  return (
    <>
      {film.scenes.map(({ scene, shots }) => (
        <section class="folder" key={scene?.sceneId} aria-label={scene?.title || scene?.sceneId}>
          <header>
            <Icon name="grid" />
            <h2>{[scene?.number, scene?.title || scene?.sceneId].filter(Boolean).join(" · ")}</h2>
            <span class="faint num">{count(shots.length, "shot")}</span>
          </header>
          {scene?.lines.map(({ lineId, speaker, text }) => (
            <p class="line" key={lineId}>
              <b>{speaker || "Narrator"}</b> <span class="dim">{text}</span>
            </p>
          ))}
          <ul class="shots">
            {shots.map(({ shotId, outputs }) => {
              const plan = scene?.shots.find((each) => each.shotId === shotId);
              const clip = outputs.find(({ output, asset }) => output === "clip" && asset);
              const shown = outputs.find(({ output, asset }) => output === "picture" && asset);
              const job = clip ?? outputs.find(({ jobId }) => jobId);
              const made = clip?.jobId ? find(clip.jobId)?.value.outputs[0]?.poster : undefined;
              const path = made ?? shown?.asset ?? clip?.asset;
              const inner = path ? <Picture projectId={projectId} sceneId={(made || !shown ? clip?.sceneId : shown.sceneId) ?? ""} path={path} /> : <Icon name="film" />;
              return (
                <li key={shotId}>
                  {job?.jobId ? (
                    <a class={path ? "thumb" : "thumb empty"} href={to(["p", projectId, "jobs", job.jobId])} aria-label={`Shot ${shotId}`}>
                      {inner}
                    </a>
                  ) : (
                    <div class={path ? "thumb" : "thumb empty"}>{inner}</div>
                  )}
                  <p>
                    {plan?.picturePrompt || plan?.motionPrompt || shotId} <span class="faint num">{plan && `${number(plan.seconds)} s`}</span>
                  </p>
                </li>
              );
            })}
          </ul>
        </section>
      ))}
    </>
  );
}

export function FilmScreen({ projectId, filmId }: { readonly projectId: string; readonly filmId: string }) {
  const { value, fault, again } = useLoad(`${projectId}/${filmId}`, async (signal) => {
    const film = await client.films.get({ projectId, filmId }, { signal });
    if (film.status) putFilm(film.status);
    return film;
  });
  const film = value.value;
  const status = films.value.get(`${projectId}/${filmId}`) ?? film?.status;
  useTitle(() => `${filmId} · ${STATES[films.value.get(`${projectId}/${filmId}`)?.state ?? 0]?.[0] ?? "Film"}`);
  // The sheet is read anew when something of it was made, not with every percentage.
  const made = status && [status.run, status.state, status.stage, status.images?.done, status.clips?.done, status.speech?.done, status.exports.length].join();
  useEffect(() => {
    if (film !== undefined) again();
  }, [made]);
  if (fault.value || film === undefined || status === undefined) {
    return (
      <>
        <header class="top">
          <h1>{filmId}</h1>
        </header>
        {fault.value ? <Failed fault={fault.value} again={again} /> : <Skeleton rows={2} />}
      </>
    );
  }
  const cut = status.exports.find(({ contentType }) => contentType.startsWith("video/"));
  const href = (path: string) => client.scenes.assetHref({ projectId, sceneId: filmId, path });
  return (
    <>
      <header class="top">
        <p class="crumbs">
          <a href={to(["p", projectId, "films"])}>Films</a>›<span>{filmId}</span>
        </p>
        <h1>{film.title || filmId}</h1>
        <FilmState_ film={status} pill />
      </header>
      <div class="two">
        <div class="stack">
          {cut && (
            <div class="player">
              <video controls preload="metadata" src={href(cut.asset)} aria-label={film.title || filmId} />
            </div>
          )}
          <Act key={`${status.run} ${status.planRevision} ${status.state}`} film={film} status={status} again={again} />
          <Shots film={film} projectId={projectId} />
        </div>
        <aside class="stack" aria-label="About this film">
          <section class="card">
            <Way film={status} />
          </section>
          <section class="card">
            <h2>Cost</h2>
            <dl class="facts">
              <Fact name="Quoted">
                <b class="num">{film.quote?.credits === undefined ? "no price known" : `${number(film.quote.credits)} credits`}</b> <span class="dim">for what is still to be made</span>
              </Fact>
              {status.run > 0 && (
                <Fact name="This run">
                  <span class="num">
                    {number(status.spentCredits)} spent, {number(status.reservedCredits)} reserved, {number(status.maxCredits)} at most
                  </span>
                </Fact>
              )}
            </dl>
          </section>
          {status.troubles.length > 0 && (
            <section class="card">
              <h2>Troubles</h2>
              <ul class="feed plain">
                {status.troubles.map(({ shotId, output, error }) => (
                  <li key={shotId + output}>
                    {shotId} {output}: <span class="dim">{error?.message}</span>
                  </li>
                ))}
              </ul>
            </section>
          )}
          {status.exports.length > 0 && (
            <section class="card">
              <h2>Exports</h2>
              <ul class="rows">
                {status.exports.map(({ asset, sizeBytes }) => (
                  <li key={asset}>
                    <a class="link" href={href(asset)} download>
                      {asset.split("/").at(-1)}
                    </a>
                    <span class="end num">{bytes(sizeBytes)}</span>
                  </li>
                ))}
              </ul>
            </section>
          )}
        </aside>
      </div>
    </>
  );
}
