/** Tells whether a request came from the service: its signature, as Standard Webhooks (standardwebhooks.com) says. */
import { WebhookRejected } from "../errors.js";
import { readEvent, type WebhookEvent } from "./event.js";

/** How much the clocks of both sides may differ, with the time on the way. */
export const TOLERANCE_MS = 300_000;

/** The header fields of a request: of Node, or those of `fetch`. */
export type RequestHeaders =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/** Options of `verify`. */
export interface VerifyOptions {
  /** Default: five minutes. */
  readonly toleranceMs?: number;
  readonly now?: () => number;
}

type HmacKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** That are looked at: the service makes two at most, and each costs whoever looks at it. */
const MOST_SIGNATURES = 10;
const PREFIX = "whsec_";
const VERSION = "v1,";
const ID = "webhook-id";
const TIMESTAMP = "webhook-timestamp";
const SIGNATURE = "webhook-signature";

/**
 * Returns the event that a request tells, if one of the secrets has signed it.
 *
 * `body` is the body as it came, such as a Buffer: parsed and written anew, it is another. `secrets` are `whsec_…`, as
 * `create` and `rotateSecret` return them: the present one, or while it changes the one before too.
 *
 * Rejects with WebhookRejected, which says what is wrong: answer such a request with 400. Rejects with TypeError for a
 * secret that is none, and for a body that was parsed.
 */
export async function verify(
  body: Uint8Array | string,
  headers: RequestHeaders,
  secrets: string | readonly string[],
  { toleranceMs = TOLERANCE_MS, now = Date.now }: VerifyOptions = {},
): Promise<WebhookEvent> {
  const keys = (typeof secrets === "string" ? [secrets] : [...(secrets ?? [])]).map(keyOf);
  if (keys.length === 0) throw new TypeError("no secret is given: whatever comes would be believed, or nothing");
  const raw = typeof body === "string" ? new TextEncoder().encode(body) : body;
  if (!(raw instanceof Uint8Array)) throw new TypeError(`the body must be bytes, as they came, not ${typeof body}`);
  const [id, timestamp, signatures] = fields(headers);
  const signed = joined(new TextEncoder().encode(`${id}.${timestamp}.`), raw);
  // Each is compared, whichever fits, so that the time tells nothing.
  const fits = await Promise.all(
    keys.flatMap((key) => decoded(signatures).map(async (signature) => crypto.subtle.verify("HMAC", await key, signature, signed))),
  );
  if (!fits.includes(true)) {
    const plural = keys.length === 1 ? "" : "s";
    throw new WebhookRejected(
      `no signature fits the secret${plural}: another made it, or the body is not the one that was sent (it must come here unparsed)`,
    );
  }
  checkTime(Number(timestamp), now() / 1000, toleranceMs / 1000);
  return readEvent(id, raw);
}

/** Returns the key of a secret. Throws TypeError, without repeating it. */
function keyOf(secret: string): Promise<HmacKey> {
  if (typeof secret !== "string") throw new TypeError(`a secret must be a text, not ${typeof secret}`);
  const bytes = fromBase64(secret.trim().replace(PREFIX, ""));
  if (bytes === undefined || bytes.length === 0) {
    throw new TypeError("a secret is not one of a webhook's: it should be whsec_ and base64");
  }
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

/** Returns id, timestamp and signatures. Throws WebhookRejected. */
function fields(headers: RequestHeaders): readonly [string, string, string] {
  const found = [ID, TIMESTAMP, SIGNATURE].map((name) => field(headers, name)) as [string, string, string];
  const missing = [ID, TIMESTAMP, SIGNATURE].filter((_, at) => found[at] === "");
  if (missing.length > 0) {
    throw new WebhookRejected(`there is no header ${missing.join(" and no ")}: this is no request of a webhook`);
  }
  if (!/^[0-9]{1,12}$/.test(found[1])) throw new WebhookRejected(`the header ${TIMESTAMP} is no number of seconds`);
  return found;
}

function field(headers: RequestHeaders, name: string): string {
  if (typeof headers.get === "function") return headers.get(name) ?? "";
  const values = Object.entries(headers as Readonly<Record<string, string | readonly string[] | undefined>>)
    .filter(([each]) => each.toLowerCase() === name)
    .flatMap(([, value]) => value ?? []);
  if (new Set(values).size > 1) throw new WebhookRejected(`the header ${name} came twice`);
  return values[0] ?? "";
}

/** Returns the first signatures that are of the version that is known. */
function decoded(signatures: string): Uint8Array<ArrayBuffer>[] {
  return signatures
    .split(" ", MOST_SIGNATURES)
    .filter((each) => each.startsWith(VERSION))
    .map((each) => fromBase64(each.slice(VERSION.length)))
    .filter((each) => each !== undefined);
}

/** Returns undefined for what is no base64; without padding it is. */
function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  const digits = text.replace(/={1,2}$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(digits) || digits.length % 4 === 1) return undefined;
  return Uint8Array.from(atob(digits), (letter) => letter.charCodeAt(0));
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** Throws WebhookRejected for what was sent too long ago, as by somebody who had recorded it. */
function checkTime(timestamp: number, now: number, tolerance: number): void {
  const late = now - timestamp;
  if (Math.abs(late) <= tolerance) return;
  const what = late > 0 ? "ago, and may be a repeat by somebody else" : "ahead of this machine's clock";
  throw new WebhookRejected(`it was signed ${Math.abs(late).toFixed()} s ${what}: ${tolerance.toFixed()} s are allowed`);
}
