/**
 * What a verb may be given: a misspelt name is refused before anything is sent, and paid for. The compiler finds it where there is
 * one; plain JavaScript has none.
 */

/** Every name of `T`, so that none can be forgotten here. */
export type Names<T> = { readonly [Name in keyof Required<T>]: true };

/** Fields that hold several values. A string has several, too: its characters. */
const LISTS: readonly string[] = ["filmIds", "jobIds", "kinds", "media", "models", "states"];

/**
 * Throws TypeError, naming every one, for names that there are not, with the nearest that there is; for a string where a list is
 * meant, and for ids that are no text.
 */
export function checkNames(given: object, known: Readonly<Record<string, true>>): void {
  const names = Object.keys(known);
  const faults = Object.keys(given)
    .filter((name) => !Object.hasOwn(known, name))
    .map((name) => `there is no ${JSON.stringify(name)}${nearest(name, names)}`);
  for (const [name, value] of Object.entries(given)) faults.push(...wrong(name, value));
  if (faults.length > 0) throw new TypeError(faults.join("; "));
}

/** Throws TypeError for an id that is no text. */
export function checkId(name: string, value: unknown): void {
  if (typeof value !== "string") throw new TypeError(`"${name}" must be text, not ${kindOf(value)}`);
}

function wrong(name: string, value: unknown): string[] {
  if (LISTS.includes(name) && typeof value === "string") return [`"${name}" must be a list, not text: write [${JSON.stringify(value)}]`];
  if (name.endsWith("Id") && value !== undefined && typeof value !== "string") return [`"${name}" must be text, not ${kindOf(value)}`];
  if (!name.endsWith("Ids") || !Array.isArray(value)) return [];
  const odd: unknown = value.find((each) => typeof each !== "string");
  return value.every((each) => typeof each === "string") ? [] : [`"${name}" must hold texts alone, not ${kindOf(odd)}`];
}

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "list" : typeof value;
}

function nearest(name: string, known: readonly string[]): string {
  const plain = (text: string) => text.replaceAll("_", "").toLowerCase();
  const far = Math.max(1, Math.floor(name.length / 3));
  const [best] = known
    .map((each) => ({ each, steps: distance(plain(name), plain(each)) }))
    .filter(({ steps }) => steps <= far)
    .sort((one, other) => one.steps - other.steps);
  return best === undefined ? "" : ` (did you mean ${JSON.stringify(best.each)}?)`;
}

/** Returns how many letters must be added, left out or changed to make one text of the other (Levenshtein). */
function distance(one: string, other: string): number {
  let before = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [row, letter] of [...one].entries()) {
    const now = [row + 1];
    for (const [at, another] of [...other].entries()) {
      now.push(Math.min(before[at + 1]! + 1, now[at]! + 1, before[at]! + (letter === another ? 0 : 1)));
    }
    before = now;
  }
  return before[other.length]!;
}
