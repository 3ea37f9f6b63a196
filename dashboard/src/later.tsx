/**
 * Screens of a second script. It is fetched as soon as the first screen stands, not when it is wanted: a page that stays open
 * over a new version of the server, which has other scripts, goes on whole.
 */
import { signal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";

import { Failed, Skeleton } from "./parts.js";

type More = typeof import("./more.js");

const more = signal<More | undefined>(undefined);
const gone = signal(false);
let fetching = false;

/** Fetches the second script, once. */
export function fetchMore(): void {
  if (fetching) return;
  fetching = true;
  import("./more.js").then(
    (found) => (more.value = found),
    () => {
      fetching = false;
      gone.value = true;
    },
  );
}

/** Shows a screen of the second script. */
export function Later({ show }: { readonly show: (screens: More) => VNode }) {
  useEffect(fetchMore, []);
  if (more.value) return show(more.value);
  if (!gone.value) return <Skeleton />;
  const text = "The rest of this page cannot be loaded: the server is away, or has another version by now.";
  return (
    <>
      <header class="top">
        <h1>Not loaded</h1>
      </header>
      <Failed fault={{ text }} again={() => location.reload()} />
    </>
  );
}
