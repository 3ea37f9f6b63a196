/** Beside a film: its cast, and its exports with further ones in other forms. */
import { Captions, type Film, type FilmStatus, Right } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { client, formId, may, said } from "../api.js";
import { bytes } from "../format.js";
import { Dialog, Picture, tell } from "../parts.js";
import { putFilm } from "../store.js";
import { isOn } from "./film-state.js";

interface Shown {
  readonly film: Film;
  readonly status: FilmStatus;
  readonly again: () => void;
}

type Member = Film["cast"][number];

function MemberDialog({ member, status, onDone }: { readonly member: Member; readonly status: FilmStatus; readonly onDone: () => void }) {
  const description = useSignal(member.description);
  const fault = useSignal("");
  const busy = useSignal(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    fault.value = "";
    const { projectId, filmId, planRevision } = status;
    try {
      await client.films.edit({ projectId, filmId, planRevision, edits: [{ edit: { case: "cast", value: { ...member, description: description.value } } }] });
      tell("Pictures that show them are older than their prompt now");
      onDone();
    } catch (error) {
      fault.value = said(error);
    }
    busy.value = false;
  };
  return (
    <Dialog title={member.name} onClose={onDone}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <div class="stack script">
          <label class="field">
            <span>What they look like, for the prompts</span>
            <textarea class="in" name="description" rows={4} autofocus value={description.value} onInput={(event) => (description.value = event.currentTarget.value)} />
            {fault.value && (
              <span class="hint bad" role="alert">
                {fault.value}
              </span>
            )}
          </label>
        </div>
        <footer>
          <span class="dim">Nothing is spent before the next run.</span>
          <div class="end">
            <button class="btn primary" type="submit" disabled={busy.value}>
              Keep it
            </button>
          </div>
        </footer>
      </form>
    </Dialog>
  );
}

export function Cast({ film, status, again }: Shown) {
  const chosen = useSignal<Member | undefined>(undefined);
  if (film.cast.length === 0) return null;
  return (
    <section class="card">
      <h2>Cast</h2>
      <ul class="files">
        {film.cast.map((member) => (
          <li key={member.name}>
            <div class="thumb">{member.assets[0] && <Picture projectId={status.projectId} sceneId={status.filmId} path={member.assets[0]} />}</div>
            <div class="name-of">
              <div class="name">{member.name}</div>
              <span class="faint">{[member.description || "no description", member.voice && `voice ${member.voice}`].filter(Boolean).join(" · ")}</span>
            </div>
            {may(Right.WRITE) && !isOn(status) && (
              <button class="btn mini" type="button" aria-label={`Change ${member.name}`} onClick={() => (chosen.value = member)}>
                Change
              </button>
            )}
          </li>
        ))}
      </ul>
      {chosen.value && <MemberDialog member={chosen.value} status={status} onDone={() => ((chosen.value = undefined), again())} />}
    </section>
  );
}

const FORMS: Readonly<Record<string, string>> = { wide: "wide, 1280 × 720", tall: "tall, 720 × 1280", square: "square, 960 × 960", wide1080: "wide, 1920 × 1080", tall1080: "tall, 1080 × 1920", square1080: "square, 1440 × 1440" };

export function Exports({ status, again }: Shown) {
  const form = useSignal("wide");
  const burnt = useSignal(false);
  const busy = useSignal(false);
  const fault = useSignal("");
  const { projectId, filmId, planRevision } = status;
  // The same form of the same film twice is one run, also after a lost answer.
  const id = useMemo(formId, [form.value, burnt.value, status.run, planRevision]);
  const start = async () => {
    if (busy.peek()) return;
    busy.value = true;
    fault.value = "";
    const profile = { name: form.value, captions: burnt.value ? Captions.BURNED : Captions.FILES };
    try {
      const film = await client.films.export({ projectId, filmId, planRevision, requestId: id, profiles: [profile] });
      if (film.status) putFilm(film.status);
      tell("It is being cut; that spends nothing");
    } catch (error) {
      fault.value = said(error);
    }
    busy.value = false;
    again();
  };
  const allowed = may(Right.WRITE) && !isOn(status) && status.run > 0;
  if (status.exports.length === 0 && !allowed) return null;
  return (
    <section class="card">
      <h2>Exports</h2>
      {status.exports.length === 0 && <p class="faint">None yet.</p>}
      <ul class="rows">
        {status.exports.map(({ asset, sizeBytes }) => (
          <li key={asset}>
            <a class="link" href={client.scenes.assetHref({ projectId, sceneId: filmId, path: asset })} download>
              {asset.split("/").at(-1)}
            </a>
            <span class="end num">{bytes(sizeBytes)}</span>
          </li>
        ))}
      </ul>
      {allowed && (
        <div class="act more-forms">
          <label class="field">
            <span>Another form</span>
            <select class="in" name="form" value={form.value} onChange={(event) => (form.value = event.currentTarget.value)}>
              {Object.entries(FORMS).map(([name, text]) => (
                <option key={name} value={name}>
                  {text}
                </option>
              ))}
            </select>
          </label>
          <label class="tick-of">
            <input class="tick" type="checkbox" checked={burnt.value} onChange={(event) => (burnt.value = event.currentTarget.checked)} />
            Captions in the picture
          </label>
          <button class="btn" type="button" disabled={busy.value} onClick={() => void start()}>
            Export
          </button>
        </div>
      )}
      {fault.value && (
        <p class="state bad told" role="alert">
          {fault.value}
        </p>
      )}
    </section>
  );
}
