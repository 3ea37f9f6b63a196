/** The file that is chosen: what it is, and what can be done with it. */
import { type Asset, Right, type Scene, UrlUnsupported } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";

import { client, may, said } from "../api.js";
import { bytes, date, day } from "../format.js";
import { titleOf } from "../jobs.js";
import { Confirm, copy, Fact, Icon, Picture, tell } from "../parts.js";
import { to } from "../router.js";
import { find } from "../store.js";

export function Inspector({ projectId, scene, asset, again }: { readonly projectId: string; readonly scene: Scene; readonly asset: Asset; readonly again: () => void }) {
  const asking = useSignal(false);
  const name = { projectId, sceneId: scene.sceneId, path: asset.path };
  const href = client.scenes.assetHref(name);
  const made = date(asset.createTime);
  const link = async () => {
    try {
      await copy((await client.scenes.assetUrl(name)).url, "The link, which is good for 15 minutes,");
    } catch (error) {
      tell(error instanceof UrlUnsupported ? "This storage cannot sign links; download the file instead" : said(error));
    }
  };
  const remove = async () => {
    asking.value = false;
    await client.scenes.deleteAsset(name).then(again, (error: unknown) => tell(said(error)));
  };
  const type = asset.contentType.split("/")[0];
  return (
    <aside class="inspect stack" aria-label="The chosen file">
      <section class="card">
        {type === "video" && <video class="thumb" key={href} controls muted preload="metadata" src={href} aria-label={asset.path} />}
        {type === "image" && (
          <div class="thumb">
            <Picture projectId={projectId} sceneId={scene.sceneId} path={asset.path} width={640} alt={asset.path} />
          </div>
        )}
        {type === "audio" && <audio class="sound" key={href} controls src={href} />}
        <h2 class="name">{asset.jobId && find(asset.jobId) ? titleOf(find(asset.jobId)!.value) : asset.path.split("/").at(-1)}</h2>
        <dl class="facts">
          {(asset.width ?? 0) > 0 && (
            <Fact name="Size">
              <span class="num">
                {asset.width} × {asset.height}
                {asset.durationSeconds ? ` · ${asset.durationSeconds.toFixed(1)} s` : ""}
              </span>
            </Fact>
          )}
          <Fact name="File">
            <span class="num">
              {bytes(asset.sizeBytes)}
              {asset.crc32c !== undefined && ` · crc32c ${asset.crc32c.toString(16).padStart(8, "0")}`}
            </span>
          </Fact>
          {asset.jobId && (
            <Fact name="Made by">
              <a class="link mono" href={to(["p", projectId, "jobs", asset.jobId])}>
                {asset.jobId.slice(0, 8)}…{asset.jobId.slice(-5)}
              </a>
            </Fact>
          )}
          {made && <Fact name="Kept">{day(made)}</Fact>}
        </dl>
      </section>
      <div class="stack">
        <a class="btn" href={href} download>
          <Icon name="down" />
          Download
        </a>
        <button class="btn" type="button" onClick={() => void link()}>
          <Icon name="link" />
          Link for 15 minutes
        </button>
        {type === "image" && may(Right.WRITE) && (
          <a class="btn" href={to(["p", projectId, "new"], { scene: scene.sceneId, image: asset.path })}>
            <Icon name="plus" />
            New clip from this
          </a>
        )}
        {asset.jobId && may(Right.WRITE) && type === "video" && (
          <a class="btn" href={to(["p", projectId, "new"], { from: asset.jobId })}>
            <Icon name="again" />
            Make again, changed
          </a>
        )}
        {may(Right.WRITE) && (
          <button class="btn danger" type="button" onClick={() => (asking.value = true)}>
            <Icon name="bin" />
            Delete
          </button>
        )}
      </div>
      {asking.value && <Confirm title="Delete this file?" say={<>{asset.path} goes for good.</>} act="Delete it" onYes={() => void remove()} onNo={() => (asking.value = false)} />}
    </aside>
  );
}
