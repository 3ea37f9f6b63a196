/** A scene as a contact sheet, onto which files are dropped. */
import type { Job } from "@evergreen/video/v1/video";
import { type Asset, Right, type Scene } from "@evergreen/video/web";
import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { client, faultOf, may, said } from "../api.js";
import { bytes, count, length, number } from "../format.js";
import { isOpen, phaseOf, titleOf } from "../jobs.js";
import { useLoad } from "../loading.js";
import { Confirm, Failed, Icon, Picture, Skeleton, tell } from "../parts.js";
import { to } from "../router.js";
import { all, find, listen, putAll } from "../store.js";
import { Inspector } from "./inspector.js";
import { keep } from "./picture.js";

const JOBS = 200;
const FOLDERS: Readonly<Record<string, string>> = { videos: "film", images: "image", audio: "music", exports: "cut", metadata: "file" };

function folderFor({ type, name }: File): string {
  if (type.startsWith("image/")) return "images";
  if (type.startsWith("video/")) return "videos";
  return type.startsWith("audio/") || /\.(mp3|wav|m4a|ogg|flac)$/i.test(name) ? "audio" : "exports";
}

async function readJobs(projectId: string, sceneId: string): Promise<void> {
  const jobs: Job[] = [];
  for await (const job of client.list({ projectId, sceneId, newestFirst: true, pageSize: JOBS })) {
    jobs.push(job);
    if (jobs.length >= JOBS) break;
  }
  putAll(jobs);
}

/** A clip's poster stands beside it, by its name. */
function posterOf(asset: Asset, scene: Scene): string | undefined {
  if (asset.contentType.startsWith("image/")) return asset.path;
  if (!asset.contentType.startsWith("video/")) return undefined;
  const stem = asset.path.split("/").at(-1)?.replace(/\.[^.]*$/, "") ?? "";
  return scene.folders.flatMap(({ assets }) => assets).find(({ path, contentType }) => contentType === "image/jpeg" && path.includes(stem))?.path;
}

function Tile({ projectId, scene, asset, chosen }: { readonly projectId: string; readonly scene: Scene; readonly asset: Asset; readonly chosen: Signal<string> }) {
  const video = asset.contentType.startsWith("video/");
  const poster = posterOf(asset, scene) ?? (video ? asset.path : undefined);
  const file = asset.path.split("/").at(-1) ?? "";
  const job = asset.jobId ? find(asset.jobId)?.value : undefined;
  const name = job && video ? titleOf(job) : file;
  return (
    <li class={`asset ${chosen.value === asset.path ? "chosen" : ""}`}>
      <button class={poster ? "thumb" : "thumb empty"} type="button" aria-label={`Show ${name}${asset.durationSeconds ? ` ${length(asset.durationSeconds)}` : ""}`} aria-pressed={chosen.value === asset.path} onClick={() => (chosen.value = asset.path)}>
        {poster ? <Picture projectId={projectId} sceneId={scene.sceneId} path={poster} /> : <Icon name={FOLDERS[asset.path.split("/")[0] ?? ""] ?? "file"} />}
        {video && (
          <span class="play">
            <Icon name="play" />
          </span>
        )}
        {asset.durationSeconds ? <span class="len">{length(asset.durationSeconds)}</span> : null}
      </button>
      <div>
        <div class="name">{name}</div>
        <small>{[asset.width ? `${asset.width} × ${asset.height}` : "", bytes(asset.sizeBytes)].filter(Boolean).join(" · ")}</small>
      </div>
    </li>
  );
}

function Making({ job: source }: { readonly job: Signal<Job> }) {
  const job = source.value;
  return (
    <li class="asset">
      <a class="thumb empty making" href={to(["p", job.projectId, "jobs", job.jobId])} aria-label={`${titleOf(job)} ${Math.round(job.progress * 100)}`}>
        <svg class="ring" viewBox="0 0 52 52" aria-hidden="true">
          <circle cx="26" cy="26" r="22" />
          <circle class="on" cx="26" cy="26" r="22" pathLength={1} stroke-dasharray={`${job.progress} 1`} />
          <text x="26" y="26">
            {Math.round(job.progress * 100)}
          </text>
        </svg>
      </a>
      <div>
        <div class="name">{titleOf(job)}</div>
        <small>{phaseOf(job).word}</small>
      </div>
    </li>
  );
}

export function Sheet({ projectId, sceneId, onGone }: { readonly projectId: string; readonly sceneId: string; readonly onGone: () => void }) {
  const { value, fault, again } = useLoad(`${projectId}/${sceneId}`, (signal) => client.scenes.show({ projectId, sceneId }, { signal }));
  // Files are named by their jobs: what these were asked for says more.
  useEffect(() => void readJobs(projectId, sceneId).catch(faultOf), [sceneId]);
  const chosen = useSignal("");
  const over = useSignal(false);
  const sending = useSignal("");
  const asking = useSignal(false);
  useEffect(() => listen(({ kind, job }) => {
    if (job.projectId === projectId && job.sceneId === sceneId && (kind === "output_added" || kind === "succeeded")) again();
  }), [sceneId]);
  const take = async (files: readonly File[]) => {
    let last = "";
    try {
      for (const [index, file] of files.entries()) {
        sending.value = `Keeping ${file.name} (${index + 1} of ${files.length})…`;
        last = await keep(projectId, sceneId, folderFor(file), file);
      }
      tell(`${count(files.length, "file")} kept`);
    } catch (error) {
      tell(said(error));
    }
    sending.value = "";
    if (last) chosen.value = last;
    again();
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    over.value = false;
    if (may(Right.WRITE)) void take([...(event.dataTransfer?.files ?? [])]);
  };
  const remove = async () => {
    asking.value = false;
    await client.scenes.delete({ projectId, sceneId, force: true }).then(onGone, (error: unknown) => tell(said(error)));
  };
  const scene = value.value;
  if (fault.value) return <Failed fault={fault.value} what="The scene could not be read" again={again} />;
  if (scene === undefined) return <Skeleton rows={3} />;
  const making = all.value.filter((each) => each.peek().projectId === projectId && each.peek().sceneId === sceneId && isOpen(each.peek()));
  const asset = scene.folders.flatMap(({ assets }) => assets).find(({ path }) => path === chosen.value);
  return (
    <>
      <div class={`sheet-of ${over.value ? "over" : ""}`} onDragOver={(event) => (event.preventDefault(), (over.value = true))} onDragLeave={() => (over.value = false)} onDrop={drop}>
        {Object.keys(FOLDERS).map((name) => {
          const assets = [...(scene.folders.find((each) => each.name === name)?.assets ?? [])].reverse();
          // Posters are shown as what their clips look like.
          const shown = name === "videos" || name === "metadata" ? assets.filter(({ contentType }) => !contentType.startsWith("image/")) : assets;
          const open = name === "videos" ? making : [];
          if (shown.length + open.length === 0 && name !== "videos") return null;
          return (
            <section class="folder" key={name} aria-label={name}>
              <header>
                <Icon name={FOLDERS[name] ?? "file"} />
                <h2>{name}</h2>
                <span class="faint num">
                  {number(shown.length)} · {bytes(shown.reduce((sum, each) => sum + Number(each.sizeBytes), 0))}
                </span>
              </header>
              {shown.length + open.length === 0 ? (
                <p class="faint">No clips yet.</p>
              ) : (
                <ul class={name === "videos" ? "sheet" : "sheet small"}>
                  {open.map((job) => (
                    <Making key={job.peek().jobId} job={job} />
                  ))}
                  {shown.map((each) => (
                    <Tile key={each.path} projectId={projectId} scene={scene} asset={each} chosen={chosen} />
                  ))}
                </ul>
              )}
            </section>
          );
        })}
        {may(Right.WRITE) && (
          <>
            <label class="drop">
              <input class="file" type="file" multiple aria-label="Upload files" onChange={(event) => void take([...(event.currentTarget.files ?? [])])} />
              {sending.value || (
                <>
                  <b>Drop pictures, clips or sounds here</b> to keep them in this scene, or choose files.
                </>
              )}
            </label>
            <p class="after">
              <button class="btn danger" type="button" onClick={() => (asking.value = true)}>
                <Icon name="bin" />
                Delete the scene
              </button>
            </p>
          </>
        )}
      </div>
      {asset ? (
        <Inspector key={asset.path} projectId={projectId} scene={scene} asset={asset} again={again} />
      ) : (
        <aside class="inspect" aria-label="The chosen file">
          <p class="faint">Choose a file to see more of it.</p>
        </aside>
      )}
      {asking.value && (
        <Confirm
          title={`Delete ${sceneId}?`}
          say="Its clips, pictures and sounds go for good; what is being made in it is cancelled first."
          act="Delete the scene"
          onYes={() => void remove()}
          onNo={() => (asking.value = false)}
        />
      )}
    </>
  );
}
