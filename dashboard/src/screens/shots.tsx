/** A film's scenes as a contact sheet: what is made of each shot and line, how it stands to the plan, and having it made anew. */
import { Currency, type FilmScene, type OutputStatus, type ShotStatus } from "@evergreen/video/v1/film";
import { type Film, FilmState, type FilmStatus, Right } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";

import { client, may, said } from "../api.js";
import { count, number } from "../format.js";
import { Icon, Picture, tell } from "../parts.js";
import { to } from "../router.js";
import { find, putFilm } from "../store.js";

const { RUNNING, CANCELLING } = FilmState;

/** How an output stands to the plan, where that is worth a word. */
function noteOf({ output, currency, staleBecause }: OutputStatus): string {
  if (currency === Currency.BLOCKED) return `whether the ${output} stands is not known`;
  if (currency !== Currency.STALE) return "";
  if (staleBecause.includes("REDO")) return `the ${output} is made anew by the next run`;
  return `the ${output} is older than its ${staleBecause.join(", ").toLowerCase().replaceAll("_", " ")}`;
}

interface Redoing {
  readonly busy: boolean;
  /** Has an output made anew; undefined where nobody may. */
  readonly redo: ((id: string, output: string) => void) | undefined;
}

/** Notes of the outputs of a shot or line, and a button for each that can be made anew. */
function Again({ id, outputs, redoing: { busy, redo } }: { readonly id: string; readonly outputs: readonly OutputStatus[]; readonly redoing: Redoing }) {
  const notes = outputs.map(noteOf).filter(Boolean);
  const can = redo ? outputs.filter(({ asset, staleBecause }) => asset && !staleBecause.includes("REDO")) : [];
  if (notes.length + can.length === 0) return null;
  return (
    <div class="again">
      {can.map(({ output }) => (
        <button key={output} class="btn mini" type="button" disabled={busy} aria-label={`Make the ${output} of ${id} anew`} onClick={() => redo?.(id, output)}>
          <Icon name="again" />
          {output}
        </button>
      ))}
      {notes.map((note) => (
        <span key={note} class="state warn">
          {note}
        </span>
      ))}
    </div>
  );
}

function Shot({ shot: { shotId, outputs }, scene, projectId, redoing }: { readonly shot: ShotStatus; readonly scene: FilmScene["scene"]; readonly projectId: string; readonly redoing: Redoing }) {
  const plan = scene?.shots.find((each) => each.shotId === shotId);
  const clip = outputs.find(({ output, asset }) => output === "clip" && asset);
  const shown = outputs.find(({ output, asset }) => output === "picture" && asset);
  const job = clip ?? outputs.find(({ jobId }) => jobId);
  const made = clip?.jobId ? find(clip.jobId)?.value.outputs[0]?.poster : undefined;
  const path = made ?? shown?.asset ?? clip?.asset;
  const inner = path ? <Picture projectId={projectId} sceneId={(made || !shown ? clip?.sceneId : shown.sceneId) ?? ""} path={path} /> : <Icon name="film" />;
  return (
    <li>
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
      <Again id={shotId} outputs={outputs} redoing={redoing} />
    </li>
  );
}

export function Shots({ film, status, again }: { readonly film: Film; readonly status: FilmStatus; readonly again: () => void }) {
  const busy = useSignal(false);
  const { projectId, filmId, planRevision, state } = status;
  const redo = async (shotId: string, output: string) => {
    if (busy.peek()) return;
    busy.value = true;
    try {
      const { film: edited } = await client.films.edit({ projectId, filmId, planRevision, edits: [{ edit: { case: "redo", value: { shotId, output } } }] });
      if (edited?.status) putFilm(edited.status);
      tell(`The next run makes the ${output} anew; nothing is spent before`);
    } catch (error) {
      tell(said(error));
    }
    busy.value = false;
    again();
  };
  const allowed = may(Right.WRITE) && state !== RUNNING && state !== CANCELLING;
  const redoing = { busy: busy.value, redo: allowed ? (id: string, output: string) => void redo(id, output) : undefined };
  return (
    <>
      {film.scenes.map(({ scene, shots, lines }) => (
        <section class="folder" key={scene?.sceneId} aria-label={scene?.title || scene?.sceneId}>
          <header>
            <Icon name="grid" />
            <h2>{[scene?.number, scene?.title || scene?.sceneId].filter(Boolean).join(" · ")}</h2>
            <span class="faint num">{count(shots.length, "shot")}</span>
          </header>
          {scene?.lines.map(({ lineId, speaker, text }) => (
            <div class="spoken" key={lineId}>
              <p>
                <b>{speaker || "Narrator"}</b> <span class="dim">{text}</span>
              </p>
              <Again id={lineId} outputs={lines.find((each) => each.lineId === lineId)?.outputs ?? []} redoing={redoing} />
            </div>
          ))}
          <ul class="shots">
            {shots.map((shot) => (
              <Shot key={shot.shotId} shot={shot} scene={scene} projectId={projectId} redoing={redoing} />
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}
