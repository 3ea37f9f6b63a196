/**
 * Where the page is. Places stand behind `#`, so that the server needs one page alone, and so that what somebody searches for
 * never reaches a log: browsers do not send that part.
 */
import { computed, signal } from "@preact/signals";

const hash = signal(location.hash);
addEventListener("hashchange", () => (hash.value = location.hash));

/** The place: the parts of its path, and what is asked there. */
export const place = computed(() => {
  const [path = "", query = ""] = hash.value.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
});

/** Returns the address of a place. */
export function to(parts: readonly string[], query: Readonly<Record<string, string | undefined>> = {}): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) asked.set(name, value);
  const text = asked.toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Goes to a place; `replace` leaves no step back. */
export function go(address: string, { replace = false } = {}): void {
  if (replace) {
    history.replaceState(null, "", address);
    hash.value = location.hash;
  } else {
    location.hash = address;
  }
}
