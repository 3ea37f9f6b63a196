/** How far a film is: a word, a shape, a colour, and the steps of its run. */
import { FilmStage, FilmState, type FilmStatus } from "@evergreen/video/web";

import { Icon } from "../parts.js";

const { PLANNED, RUNNING, AWAITING_APPROVAL, NEEDS_ATTENTION, CANCELLING, SUCCEEDED, FAILED, CANCELLED } = FilmState;

export const STATES: Readonly<Record<number, readonly [word: string, tone: string, icon: string]>> = {
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

export const isOn = ({ state }: FilmStatus) => [RUNNING, AWAITING_APPROVAL, NEEDS_ATTENTION, CANCELLING].includes(state);

export function FilmBadge({ film, pill = false }: { readonly film: FilmStatus; readonly pill?: boolean }) {
  const [word, tone, icon] = STATES[film.state] ?? ["Unknown", "gone", "clock"];
  return (
    <span class={`state ${tone} ${pill ? "pill" : ""}`}>
      <Icon name={icon} />
      {word}
    </span>
  );
}

export function FilmWay({ film }: { readonly film: FilmStatus }) {
  const at = film.stage - FilmStage.STORYBOARD;
  const done = film.state === SUCCEEDED;
  return (
    <div class="way">
      <div class="line">
        <FilmBadge film={film} />
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
