/** Films: a script becomes a plan with its price, a run of it for a sum, a contact sheet, and a cut. */
import { InvalidRequest, type PlanFilmResponse, Right } from "@evergreen/video/web";
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { client, formId, may, said } from "../api.js";
import { count, number } from "../format.js";
import { useLoad } from "../loading.js";
import { Dialog, Empty, Failed, Icon, Skeleton } from "../parts.js";
import { go, place, to } from "../router.js";
import { useTitle } from "../shell.js";
import { films, putFilm } from "../store.js";
import { FilmWay } from "./film-state.js";

const QUOTE_MS = 600;
const MOST = 500;

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
      {fault.value && <Failed fault={fault.value} what="The films could not be read" again={again} />}
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
              <FilmWay film={film} />
              <div class="pay">
                <b class="num">{number(film.spentCredits)}</b>
                {film.run > 0 ? `of ${number(film.maxCredits)}` : "spent"}
              </div>
            </li>
          ))}
        </ul>
      )}
      {!fault.value && value.value === undefined && <Skeleton rows={3} />}
      {place.value.query.has("plan") && <PlanDialog projectId={projectId} />}
    </>
  );
}
