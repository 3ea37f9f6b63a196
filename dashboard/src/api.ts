/** The way to the server: its client, who the visitor is, and how faults are said. */
import {
  CallError,
  WireClient,
  type GetCallerResponse,
  NotFound,
  PermissionDenied,
  problemError,
  Right,
  Unauthenticated,
} from "@evergreen/video/web";
import { GetCallerResponseSchema } from "@evergreen/video/v1/video";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { computed, signal } from "@preact/signals";

export const client = new WireClient();

/** Who the visitor is: not known yet, somebody, or nobody, who must log in. */
export const session = signal<{ readonly is: "asking" } | { readonly is: "in"; readonly caller: GetCallerResponse } | { readonly is: "out" }>({ is: "asking" });
export const caller = computed(() => (session.value.is === "in" ? session.value.caller : undefined));

/** Returns whether the visitor has a right; on a server without tokens everybody has all. */
export function may(right: Right): boolean {
  return caller.value?.rights.includes(right) ?? false;
}

/** Asks who the visitor is. Throws what keeps the server from saying it. */
export async function enter(): Promise<void> {
  await answered(await fetch("/session"));
}

/** Logs in. Throws CallError. */
export async function logIn(token: string): Promise<void> {
  const headers = { "content-type": "application/json" };
  await answered(await fetch("/session", { method: "POST", headers, body: JSON.stringify({ token }) }), true);
}

export async function logOut(): Promise<void> {
  await fetch("/session", { method: "DELETE" });
  session.value = { is: "out" };
}

async function answered(answer: Response, asked = false): Promise<void> {
  if (answer.ok) {
    const caller = fromJson(GetCallerResponseSchema, (await answer.json()) as JsonValue, { ignoreUnknownFields: true });
    session.value = { is: "in", caller };
  } else if (answer.status === 401 && !asked) session.value = { is: "out" };
  else throw await problemError(answer);
}

/** What a screen shows of a fault; a session that is over ends in the login. */
export interface Fault {
  readonly denied?: boolean;
  /** There is no such thing: asking again is of no use. */
  readonly missing?: boolean;
  readonly text: string;
}

export function faultOf(error: unknown): Fault {
  if (error instanceof Unauthenticated) session.value = { is: "out" };
  return { denied: error instanceof PermissionDenied, missing: error instanceof NotFound, text: said(error) };
}

/** Says an error in words, without the reason that programs go by. */
export function said(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return error instanceof CallError ? text.replace(/ \([A-Za-z_]+\)$/, "") : text;
}

/** A random id that one form has, so that a click twice, or again after a lost answer, is one request. */
export function formId(): string {
  return `web-${[...crypto.getRandomValues(new Uint8Array(9))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
