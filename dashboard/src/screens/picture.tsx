/** The first or last frame of a clip: a picture of the scene, or one that is dropped or chosen, which is kept in the scene first. */
import { AssetExists, type Scene } from "@evergreen/video/web";
import { type Signal, useSignal } from "@preact/signals";

import { client, said } from "../api.js";
import { useLoad } from "../loading.js";
import { Icon, Picture } from "../parts.js";

/** A picture of a scene. */
export interface Frame {
  readonly sceneId: string;
  readonly path: string;
}

const SHOWN = 5;

/** Keeps a file in the scene, by its own name or, where that is taken, by the next. */
export async function keep(projectId: string, sceneId: string, folder: string, file: File): Promise<string> {
  const name = file.name.replace(/[^\w.-]+/g, "-").replace(/^[.-]+/, "").slice(-100) || "file";
  const [, stem = name, ending = ""] = /^(.*?)(\.[^.]*)?$/.exec(name) ?? [];
  for (let turn = 1; ; turn += 1) {
    const path = `${folder}/${stem}${turn > 1 ? `-${turn}` : ""}${ending}`;
    try {
      return (await client.scenes.upload({ projectId, sceneId, path }, file)).path;
    } catch (error) {
      if (!(error instanceof AssetExists) || turn >= 20) throw error;
    }
  }
}

export function FrameField({ name, projectId, sceneId, frame, fault }: { readonly name: string; readonly projectId: string; readonly sceneId: string; readonly frame: Signal<Frame | undefined>; readonly fault: string | undefined }) {
  const busy = useSignal(false);
  const wrong = useSignal("");
  const over = useSignal(false);
  const scene = useLoad(`${projectId}/${sceneId}`, (signal) => client.scenes.show({ projectId, sceneId }, { signal }).catch(() => undefined as Scene | undefined));
  const pictures = (scene.value.value?.folders.find(({ name }) => name === "images")?.assets ?? []).slice(-SHOWN).reverse();
  const take = async (file: File | undefined) => {
    if (file === undefined) return;
    busy.value = true;
    wrong.value = "";
    try {
      await client.scenes.create({ projectId, sceneId });
      frame.value = { sceneId, path: await keep(projectId, sceneId, "images", file) };
    } catch (error) {
      wrong.value = said(error);
    }
    busy.value = false;
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    over.value = false;
    void take(event.dataTransfer?.files[0]);
  };
  const hint = wrong.value || fault;
  return (
    <div class="field">
      <span>{name}</span>
      <label class={`first ${over.value ? "over" : ""}`} onDragOver={(event) => (event.preventDefault(), (over.value = true))} onDragLeave={() => (over.value = false)} onDrop={drop}>
        <input class="file" type="file" accept="image/*" aria-label={name} onChange={(event) => void take(event.currentTarget.files?.[0])} />
        {frame.value ? (
          <>
            <Picture projectId={projectId} sceneId={frame.value.sceneId} path={frame.value.path} width={640} />
            <span class="tag">{frame.value.path.split("/").at(-1)}</span>
          </>
        ) : (
          <span class="ask">
            <Icon name={busy.value ? "turn" : "up"} />
            {busy.value ? "Keeping it…" : "Drop a picture here, or choose one"}
          </span>
        )}
      </label>
      {frame.value && (
        <button class="btn plain" type="button" onClick={() => (frame.value = undefined)}>
          <Icon name="x" />
          Without a picture
        </button>
      )}
      {hint && (
        <span class="hint bad" role="alert">
          {hint}
        </span>
      )}
      {pictures.length > 0 && (
        <div class="sheet small">
          {pictures.map(({ path }) => (
            <button key={path} class="thumb" type="button" aria-pressed={frame.value?.path === path} aria-label={`${name} ${path}`} onClick={() => (frame.value = { sceneId, path })}>
              <Picture projectId={projectId} sceneId={sceneId} path={path} />
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
