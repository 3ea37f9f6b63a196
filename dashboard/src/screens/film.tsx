/** One film: its cut, what one may do now, its shots as a contact sheet, and what it costs. */
import { type CallError, type Film, FilmGate, FilmState, type FilmStatus, Right } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { client, formId, may, said } from "../api.js";
import { number } from "../format.js";
import { useLoad } from "../loading.js";
import { Confirm, Fact, Failed, Skeleton, tell } from "../parts.js";
import { to } from "../router.js";
import { useTitle } from "../shell.js";
import { films, putFilm } from "../store.js";
import { FilmBadge, isOn, STATES, FilmWay } from "./film-state.js";
import { Cast, Exports } from "./film-parts.js";
import { Shots } from "./shots.js";

const { AWAITING_APPROVAL, NEEDS_ATTENTION, CANCELLING } = FilmState;

/** What one may do now: start, approve what was made so far, or stop it. */
function Act({ film, status, again }: { readonly film: Film; readonly status: FilmStatus; readonly again: () => void }) {
  const quote = film.quote?.credits;
  const id = useMemo(formId, [status.planRevision, status.run]);
  // What somebody has typed; until then the quote of what is still to be made, and for a run with what it has spent.
  const typed = useSignal<string | undefined>(undefined);
  const usual = isOn(status) ? Math.max(status.maxCredits, status.spentCredits + (quote ?? 0)) : quote;
  const most = typed.value ?? String(usual ?? "");
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
  const sum = most.trim() === "" ? NaN : Number(most.replace(",", "."));
  const field = (
    <label class="field">
      <span>At most, credits</span>
      <input class="in num" name="most" inputMode="decimal" value={most} onInput={(event) => (typed.value = event.currentTarget.value)} />
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
            <button class="btn primary" type="button" disabled={busy.value || !(sum >= 0)} onClick={() => run(client.films.start({ projectId, filmId, requestId: id, planRevision: status.planRevision, maxCredits: sum, gates: gate.value ? [FilmGate.STORYBOARD] : [] }), "It is on its way")}>
              Start for {sum >= 0 ? number(sum) : "…"} at most
            </button>
          </>
        )}
        {(status.state === AWAITING_APPROVAL || status.state === NEEDS_ATTENTION) && mayPay && (
          <>
            {field}
            <button class="btn primary" type="button" disabled={busy.value || !(sum >= 0)} onClick={() => run(client.films.approve({ status, maxCredits: sum }), "It goes on")}>
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
          <p class="crumbs">
            <a href={to(["p", projectId, "films"])}>Films</a>›<span>{filmId}</span>
          </p>
          <h1>{filmId}</h1>
        </header>
        {fault.value ? <Failed fault={fault.value} what="The film could not be read" again={again} /> : <Skeleton rows={2} />}
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
        <FilmBadge film={status} pill />
      </header>
      <div class="two">
        <div class="stack">
          {cut && (
            <div class="player">
              <video controls preload="metadata" src={href(cut.asset)} aria-label={film.title || filmId} />
            </div>
          )}
          <Act key={`${status.run} ${status.planRevision} ${status.state}`} film={film} status={status} again={again} />
          <Shots film={film} status={status} again={again} />
        </div>
        <aside class="stack" aria-label="About this film">
          <section class="card">
            <FilmWay film={status} />
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
          <Exports film={film} status={status} again={again} />
          <Cast film={film} status={status} again={again} />
        </aside>
      </div>
    </>
  );
}
