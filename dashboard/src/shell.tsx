/** What is around every screen: where one can go, which project, whether the page is live, and who one is. */
import { JobState, Right } from "@evergreen/video/web";
import { computed, signal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";

import { caller, logOut } from "./api.js";
import { now, number } from "./format.js";
import { Icon, Toast } from "./parts.js";
import { go, place, to } from "./router.js";
import { live, projects, projectsFault, revisions, versions } from "./store.js";
import { troubled } from "./webhooks.js";

const LAST = "evergreen.project";

/** The project that is shown: that of the place, else the one before, else the first. */
export const project = computed(() => {
  const { parts } = place.value;
  if (parts[0] === "p" && parts[1]) return parts[1];
  const found = projects.value ?? [];
  const last = localStorage.getItem(LAST) ?? "";
  return found.some((each) => each.projectId === last) ? last : (found[0]?.projectId ?? "");
});

function countOf(projectId: string, ...states: JobState[]): number {
  const found = projects.value?.find((each) => each.projectId === projectId);
  return (found?.jobCounts ?? []).filter((each) => states.includes(each.state)).reduce((sum, each) => sum + Number(each.count), 0);
}

/** How many jobs of a project are in some states, by the server's own count. */
export const counted = (...states: JobState[]) => countOf(project.value, ...states);

export const needed = computed(() => (projects.value ?? []).reduce((sum, each) => sum + countOf(each.projectId, JobState.NEEDS_ATTENTION), 0));

const theme = signal(localStorage.getItem("evergreen.theme") ?? "");

function turnTheme(): void {
  const dark = theme.value === "" ? matchMedia("(prefers-color-scheme: dark)").matches : theme.value === "dark";
  theme.value = dark ? "light" : "dark";
  localStorage.setItem("evergreen.theme", theme.value);
}

const LIVE = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", ended: "Not live" } as const;

export function LiveDot({ long = false }: { readonly long?: boolean }) {
  const revision = long && now.value > 0 ? revisions.get(project.value) : undefined;
  const more = live.value === "live" && revision !== undefined ? ` · revision ${number(revision)}` : "";
  return (
    <span class={`live ${live.value}`} role="status">
      {LIVE[live.value] + more}
    </span>
  );
}

interface Entry {
  readonly name: string;
  readonly icon: string;
  readonly href: string;
  readonly here: boolean;
  readonly count?: number;
  readonly hot?: boolean;
}

function entries(): readonly Entry[] {
  const { parts } = place.value;
  const screen = parts[0] === "p" ? (parts[2] ?? "jobs") : (parts[0] ?? "jobs");
  const here = project.value;
  const unfinished = counted(JobState.QUEUED, JobState.RUNNING, JobState.NEEDS_ATTENTION, JobState.CANCELLING);
  return [
    { name: "Jobs", icon: "film", href: to(["p", here, "jobs"]), here: screen === "jobs" || screen === "new", count: unfinished },
    { name: "Scenes", icon: "grid", href: to(["p", here, "scenes"]), here: screen === "scenes" },
    { name: "Films", icon: "cut", href: to(["p", here, "films"]), here: screen === "films" },
    { name: "Attention", icon: "bell", href: to(["attention"]), here: screen === "attention", count: needed.value, hot: true },
    { name: "Account", icon: "coins", href: to(["account"]), here: screen === "account" },
    { name: "Webhooks", icon: "hook", href: to(["webhooks"]), here: screen === "webhooks", count: troubled.value, hot: true },
  ];
}

function Who() {
  const { name = "", rights = [], tokensRequired = false } = caller.value ?? {};
  const words = rights.map((right) => (Right[right] ?? "").toLowerCase()).filter((word) => word !== "approve" || rights.length < 2);
  return (
    <div class="who">
      <span>
        {tokensRequired ? name : "Open to this machine"}
        <br />
        <span class="faint">{words.join(" · ")}</span>
      </span>
      <span class="nowrap">
        <button class="btn plain" type="button" aria-label="Light or dark" onClick={turnTheme}>
          <Icon name="sun" />
        </button>
        {tokensRequired && (
          <button class="btn plain" type="button" aria-label="Log out" onClick={() => void logOut()}>
            <Icon name="out" />
          </button>
        )}
      </span>
    </div>
  );
}

function Projects() {
  const found = projects.value ?? [];
  const running = counted(JobState.RUNNING);
  const choose = (id: string) => {
    const { parts } = place.value;
    const screen = parts[0] === "p" && (parts[2] === "scenes" || parts[2] === "films") ? parts[2] : "jobs";
    go(to(["p", id, screen]));
  };
  const listed = found.some((each) => each.projectId === project.value) || project.value === "";
  return (
    <label class="project">
      <span>
        <small>Project{running > 0 && ` · ${number(running)} in flight`}</small>
        <select value={project.value} onChange={(event) => choose(event.currentTarget.value)} aria-label="Project">
          {!listed && <option value={project.value}>{project.value}</option>}
          {found.length === 0 && listed && <option value="">{projects.value ? "none yet" : projectsFault.value ? "not known" : "…"}</option>}
          {found.map((each) => (
            <option key={each.projectId} value={each.projectId}>
              {each.projectId}
            </option>
          ))}
        </select>
      </span>
    </label>
  );
}

export function Brand() {
  return (
    <a class="brand" href="#/">
      <svg viewBox="0 0 24 24" fill="currentColor" aria-hidden="true">
        <path d="M12 1.5 17.2 9h-2.7l4 5.8h-3l4 5.7h-6.3V23h-2.4v-2.5H4.5l4-5.7h-3l4-5.800H6.800z" />
      </svg>
      Evergreen
    </a>
  );
}

function Tab({ entry, short }: { readonly entry: Entry; readonly short: boolean }) {
  const shown = entry.count && (!short || entry.hot) ? entry.count : 0;
  return (
    <a href={entry.href} aria-current={entry.here ? "page" : undefined}>
      <Icon name={entry.icon} />
      {entry.name}
      {shown > 0 && <span class={entry.hot ? "count hot" : "count"}>{number(shown)}</span>}
    </a>
  );
}

/** Sets what is outside of the page's own elements: theme, and the tab's icon, which says that somebody is needed. */
export function useOutside(): void {
  useSignalEffect(() => {
    if (theme.value) document.documentElement.dataset["theme"] = theme.value;
  });
  useSignalEffect(() => {
    const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
    const wanted = needed.value > 0 ? icon?.dataset["hot"] : icon?.dataset["calm"];
    if (icon && wanted && icon.getAttribute("href") !== wanted) icon.href = wanted;
  });
  useSignalEffect(() => {
    if (project.value) localStorage.setItem(LAST, project.value);
  });
}

export function Shell({ children }: { readonly children: ComponentChildren }) {
  const { first, last } = versions.value;
  return (
    <>
      <button class="skip" type="button" onClick={() => document.getElementById("main")?.focus()}>
        To the content
      </button>
      <div class="side">
        <header>
          <Brand />
          <Projects />
        </header>
        <nav class="nav" aria-label="Main">
          <ul>
            {entries().map((entry) => (
              <li key={entry.name}>
                <Tab entry={entry} short={false} />
              </li>
            ))}
          </ul>
        </nav>
        <footer>
          {first !== last && (
            <button class="btn" type="button" onClick={() => location.reload()}>
              <Icon name="again" />
              Version {last}: reload
            </button>
          )}
          <LiveDot long />
          <Who />
        </footer>
      </div>
      <main id="main" tabIndex={-1}>
        <div class="only-s">
          <Projects />
        </div>
        {children}
      </main>
      <nav class="tabbar" aria-label="Main, below">
        {entries().map((entry) => (
          <Tab key={entry.name} entry={entry} short />
        ))}
      </nav>
      <Toast />
    </>
  );
}

/** Sets the title of the tab. */
export function useTitle(text: () => string): void {
  useSignalEffect(() => {
    document.title = `${text()} · Evergreen`;
  });
}

