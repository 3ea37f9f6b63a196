/** A project's scenes, and one of them. */
import { Right, type Scene } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";

import { client, may } from "../api.js";
import { ago, count, date } from "../format.js";
import { useLoad } from "../loading.js";
import { Empty, Failed, Icon, Skeleton } from "../parts.js";
import { go, to } from "../router.js";
import { useTitle } from "../shell.js";
import { Sheet } from "./sheet.js";

const MOST = 500;

export function ScenesScreen({ projectId, sceneId }: { readonly projectId: string; readonly sceneId: string }) {
  const words = useSignal("");
  const { value, fault, again } = useLoad(projectId, async (signal) => {
    const scenes: Scene[] = [];
    if (projectId === "") return scenes;
    for await (const scene of client.scenes.list({ projectId, pageSize: 100 }, { signal })) {
      scenes.push(scene);
      if (scenes.length >= MOST) break;
    }
    return scenes;
  });
  const scenes = value.value ?? [];
  const shown = scenes.filter((each) => each.sceneId.toLowerCase().includes(words.value.toLowerCase()));
  const at = sceneId || shown[0]?.sceneId || "";
  useTitle(() => at || "Scenes");
  const gone = () => {
    go(to(["p", projectId, "scenes"]));
    again();
  };
  return (
    <>
      <header class="top">
        {at !== "" && (
          <p class="crumbs">
            <a href={to(["p", projectId, "scenes"])}>{projectId}</a>›<span>{at}</span>
          </p>
        )}
        <h1>{at || "Scenes"}</h1>
        <div class="end">
          {may(Right.WRITE) && at !== "" && (
            <a class="btn primary" href={to(["p", projectId, "new"], { scene: at })}>
              <Icon name="plus" />
              New clip here
            </a>
          )}
        </div>
      </header>
      {fault.value && <Failed fault={fault.value} what="The scenes could not be read" again={again} />}
      {!fault.value && value.value === undefined && <Skeleton />}
      {!fault.value && value.value && scenes.length === 0 && (
        <Empty icon="grid" title="No scenes yet">
          <p class="dim">A scene is a folder of clips, pictures and sounds. It comes with its first clip.</p>
        </Empty>
      )}
      {!fault.value && scenes.length > 0 && (
        <div class="scene">
          <nav class="tree" aria-label="Scenes">
            <label class="search">
              <Icon name="search" />
              <input class="in" type="search" placeholder={count(scenes.length, "scene")} aria-label="Search scenes" value={words.value} onInput={(event) => (words.value = event.currentTarget.value)} />
            </label>
            <ul>
              {shown.map((each) => (
                <li key={each.sceneId}>
                  <a href={to(["p", projectId, "scenes", each.sceneId])} aria-current={each.sceneId === at ? "true" : undefined}>
                    <span class="thumb empty">
                      <Icon name="film" />
                    </span>
                    <span>
                      {each.sceneId}
                      <small>{ago(date(each.updateTime))}</small>
                    </span>
                  </a>
                </li>
              ))}
            </ul>
          </nav>
          {at && <Sheet key={at} projectId={projectId} sceneId={at} onGone={gone} />}
        </div>
      )}
    </>
  );
}
