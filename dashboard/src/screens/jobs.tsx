/** The live list: who needs somebody, what is in flight, what waits, what has ended. */
import type { Job } from "@evergreen/video/v1/video";
import { JobState, Right } from "@evergreen/video/web";
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { client, faultOf, may, said } from "../api.js";
import { count, number } from "../format.js";
import { canCancel, isOpen, modelOf, titleOf } from "../jobs.js";
import { useLoad } from "../loading.js";
import { Confirm, Empty, Failed, Icon, Skeleton, tell } from "../parts.js";
import { go, place, to } from "../router.js";
import { counted, LiveDot, useTitle } from "../shell.js";
import { all, projects, projectsFault, put, putAll, recount } from "../store.js";
import { Rail, Tiles } from "./beside.js";
import { chosen, Group, selecting } from "./rows.js";

const { QUEUED, RUNNING, NEEDS_ATTENTION, CANCELLING, SUCCEEDED, FAILED, CANCELLED, EXPIRED } = JobState;
const PAGE = 50;
const FINISHED_SHOWN = 8;

const TABS: Readonly<Record<string, { readonly name: string; readonly states: readonly JobState[] }>> = {
  "": { name: "Unfinished", states: [NEEDS_ATTENTION, RUNNING, CANCELLING, QUEUED] },
  running: { name: "Running", states: [RUNNING, CANCELLING] },
  queued: { name: "Queued", states: [QUEUED] },
  attention: { name: "Attention", states: [NEEDS_ATTENTION] },
  succeeded: { name: "Succeeded", states: [SUCCEEDED] },
  failed: { name: "Failed", states: [FAILED, EXPIRED] },
  cancelled: { name: "Cancelled", states: [CANCELLED] },
};

function matches(job: Job, words: readonly string[]): boolean {
  const labels = Object.entries(job.labels).map(([key, value]) => `${key}:${value}`);
  const text = [titleOf(job), job.jobId, job.sceneId, modelOf(job), job.requestId, ...labels].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

/** The jobs of a tab that the server lists: they are put into the store, and more are asked for page by page. */
function useListed(projectId: string, tab: string) {
  const more = useSignal<(() => Promise<void>) | undefined>(undefined);
  const states = TABS[tab]?.states ?? [];
  const load = useLoad(`${projectId} ${tab}`, async (signal) => {
    if (projectId === "") return true;
    const wanted = tab === "" ? [] : states;
    const source = client.list({ projectId, states: wanted, newestFirst: true, pageSize: PAGE }, { signal });
    const page = async () => {
      const jobs: Job[] = [];
      for (let index = 0; index < PAGE; index += 1) {
        const next = await source.next();
        if (next.done) {
          more.value = undefined;
          break;
        }
        jobs.push(next.value);
      }
      putAll(jobs);
    };
    more.value = page;
    await page();
    return true;
  });
  return { ...load, more };
}

function useKeys(box: { readonly current: HTMLInputElement | null }, projectId: string): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.metaKey || event.ctrlKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || document.querySelector("dialog[open]")) return;
      const links = [...document.querySelectorAll<HTMLAnchorElement>(".job .what a")];
      const at = links.indexOf(document.activeElement as HTMLAnchorElement);
      if (event.key === "/") box.current?.focus();
      else if (event.key === "n" && may(Right.WRITE)) go(to(["p", projectId || "default", "new"]));
      else if (event.key === "j") links[Math.min(at + 1, links.length - 1)]?.focus();
      else if (event.key === "k") links[Math.max(at - 1, 0)]?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [projectId]);
}

export function JobsScreen({ projectId }: { readonly projectId: string }) {
  const box = useRef<HTMLInputElement>(null);
  const asking = useSignal(false);
  const tab = place.value.query.get("state") ?? "";
  const query = place.value.query.get("q") ?? "";
  const { value, fault, again, more } = useListed(projectId, tab);
  const account = useLoad("account", async (signal) => (may(Right.ADMIN) ? client.account({}, { signal, timeoutMs: 8000 }).catch(() => undefined) : undefined));
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const mine = useComputed(() => all.value.filter((each) => each.peek().projectId === projectId)).value;
  const open = mine.filter((each) => isOpen(each.peek()));
  const shown = mine.filter((each) => matches(each.peek(), words));
  const within = (...states: JobState[]) => shown.filter((each) => states.includes(each.peek().state));
  useTitle(() => (open.length > 0 ? `${number(open.length)} unfinished` : "Jobs"));
  useKeys(box, projectId);
  useEffect(() => () => void ((selecting.value = false), (chosen.value = new Set())), []);

  const address = (changes: Record<string, string | undefined>) => to(["p", projectId, "jobs"], { state: tab, q: query, ...changes });
  const cancelAll = async () => {
    asking.value = false;
    let done = 0;
    for (const jobId of chosen.value) await client.cancel(jobId).then((job) => (put(job), (done += 1)), faultOf);
    tell(`${count(done, "job")} asked to stop`);
    chosen.value = new Set();
    selecting.value = false;
    recount(0);
  };
  // No project is known before they are all read.
  const cause = fault.value ?? (projectId === "" ? projectsFault.value : undefined);
  const read = value.value !== undefined && (projectId !== "" || projects.value !== undefined);
  const older = () => more.value?.().catch((error: unknown) => tell(said(error)));
  const finished = within(SUCCEEDED, FAILED, CANCELLED, EXPIRED);
  const pickable = shown.filter((each) => canCancel(each.peek()) && (TABS[tab]?.states ?? []).includes(each.peek().state));
  return (
    <>
      <header class="top">
        <h1>Jobs</h1>
        <LiveDot />
        <div class="end">
          {may(Right.WRITE) && pickable.length > 0 && !selecting.value && (
            <button class="btn hide-s" type="button" onClick={() => (selecting.value = true)}>
              <Icon name="check" />
              Select
            </button>
          )}
          {selecting.value && (
            <>
              <button class="btn" type="button" onClick={() => (chosen.value = new Set(pickable.map((each) => each.peek().jobId)))}>
                All {number(pickable.length)}
              </button>
              <button class="btn danger" type="button" disabled={chosen.value.size === 0} onClick={() => (asking.value = true)}>
                Cancel {number(chosen.value.size)}
              </button>
              <button class="btn plain" type="button" onClick={() => ((selecting.value = false), (chosen.value = new Set()))}>
                Done
              </button>
            </>
          )}
          {may(Right.WRITE) && (
            <a class="btn primary" href={to(["p", projectId || "default", "new"])}>
              <Icon name="plus" />
              New clip
            </a>
          )}
        </div>
      </header>
      <Tiles account={account.value.value} open={open} />
      <div class="bar">
        <nav class="tabs" aria-label="State">
          {Object.entries(TABS).map(([key, { name, states }]) => (
            <a key={key} href={address({ state: key })} aria-current={key === tab ? "true" : undefined}>
              {name}
              <span>{number(key === "" || states.some((state) => state <= CANCELLING) ? open.filter((each) => states.includes(each.peek().state)).length : counted(...states))}</span>
            </a>
          ))}
        </nav>
        <div class="end">
          <label class="search">
            <Icon name="search" />
            <input
              ref={box}
              class="in"
              type="search"
              placeholder="Prompt, id, label   ( / )"
              aria-label="Search"
              value={query}
              onInput={(event) => go(address({ q: event.currentTarget.value }), { replace: true })}
            />
          </label>
        </div>
      </div>
      <div class="split">
        <div>
          {cause && <Failed fault={cause} what="The jobs could not be read" again={fault.value ? again : () => recount(0)} />}
          {(mine.length > 0 || read) && (
            <>
              {tab === "" ? (
                <>
                  <Group title="Need you" jobs={within(NEEDS_ATTENTION)} />
                  <Group title="In flight" jobs={within(RUNNING, CANCELLING)} />
                  <Group title="Waiting" note="by priority, then by whose project has least under way" jobs={within(QUEUED).reverse()} />
                  <Group title="Just finished" jobs={words.length > 0 ? finished : finished.slice(0, FINISHED_SHOWN)} />
                </>
              ) : (
                <Group title={TABS[tab]?.name ?? ""} jobs={within(...(TABS[tab]?.states ?? []))} />
              )}
              {more.value && tab !== "" && (
                <p class="after">
                  <button class="btn" type="button" onClick={() => void older()}>
                    Older ones
                  </button>
                </p>
              )}
              {read && shown.length === 0 && words.length > 0 && (
                <Empty icon="search" title="Nothing here has these words">
                  <p class="dim">{count(mine.length, "job")} of this project {mine.length === 1 ? "is" : "are"} on this page.</p>
                </Empty>
              )}
              {read && words.length === 0 && (tab === "" ? shown.length === 0 : within(...(TABS[tab]?.states ?? [])).length === 0) && (
                <Empty icon="film" title={tab === "" ? "No clips yet" : `None ${(TABS[tab]?.name ?? "").toLowerCase()}`}>
                  {tab === "" && <p class="dim">What a clip costs at most is said before anything is spent.</p>}
                  {tab === "" && may(Right.WRITE) && (
                    <a class="btn primary" href={to(["p", projectId || "default", "new"])}>
                      <Icon name="plus" />
                      Make the first clip
                    </a>
                  )}
                </Empty>
              )}
            </>
          )}
          {!cause && !read && <Skeleton />}
        </div>
        <Rail account={account.value.value} open={open} />
      </div>
      {asking.value && (
        <Confirm
          title={`Cancel ${count(chosen.value.size, "job")}?`}
          say="What waits is dropped. What is being made is stopped where the provider allows it; nothing that is paid for already is thrown away."
          act={`Cancel ${count(chosen.value.size, "job")}`}
          onYes={() => void cancelAll()}
          onNo={() => (asking.value = false)}
        />
      )}
    </>
  );
}
