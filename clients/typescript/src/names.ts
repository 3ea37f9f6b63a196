/**
 * What a verb may be given: a misspelt name is refused before anything is sent, and paid for. The compiler finds it where there is
 * one; plain JavaScript has none.
 */

/** Every name of `T`, so that none can be forgotten here. */
export type Names<T> = { readonly [Name in keyof Required<T>]: true };

/** Throws TypeError, naming every one, for names that there are not, with the nearest that there is. */
export function checkNames(given: object, known: Readonly<Record<string, true>>): void {
  const names = Object.keys(known);
  const faults = Object.keys(given)
    .filter((name) => !Object.hasOwn(known, name))
    .map((name) => `there is no ${JSON.stringify(name)}${nearest(name, names)}`);
  if (faults.length > 0) throw new TypeError(faults.join("; "));
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
