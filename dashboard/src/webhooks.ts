/** What webhooks are said to be, and how many of them need somebody to look: the badge of the navigation. */
import { Right, type Webhook, WebhookState } from "@evergreen/video/web";
import { signal } from "@preact/signals";

import { client, may } from "./api.js";
import { date, now, span } from "./format.js";

const EVERY_MS = 60_000;
/** How many a page counts and lists. */
export const MOST = 1000;

/** Webhooks that are switched off, or whose attempts fail. */
export const troubled = signal(0);

export function isTroubled({ state, failingSinceTime }: Webhook): boolean {
  return state === WebhookState.SWITCHED_OFF || (state === WebhookState.ACTIVE && failingSinceTime !== undefined);
}

/** Reads the webhooks that one may administer, and counts those that need somebody. */
export async function readWebhooks(signal?: AbortSignal): Promise<readonly Webhook[]> {
  const found: Webhook[] = [];
  for await (const webhook of client.webhooks.list({ pageSize: MOST }, signal && { signal })) {
    found.push(webhook);
    if (found.length === MOST) break;
  }
  troubled.value = found.filter(isTroubled).length;
  return found;
}

/** Counts now and every minute, until the returned function is called. A server without webhooks has no badge. */
export function countTroubled(): () => void {
  const ask = () => {
    if (may(Right.ADMIN) && !document.hidden) readWebhooks().catch(() => (troubled.value = 0));
  };
  ask();
  const timer = setInterval(ask, EVERY_MS);
  return () => clearInterval(timer);
}

/** A state is a shape, a word and a colour. */
export function stateOf(webhook: Webhook): { readonly word: string; readonly tone: string; readonly icon: string } {
  const { state, lastAttemptTime } = webhook;
  const failing = date(webhook.failingSinceTime);
  if (state === WebhookState.SWITCHED_OFF) return { word: "Switched off", tone: "bad", icon: "x" };
  if (state === WebhookState.PAUSED) return { word: "Paused", tone: "gone", icon: "clock" };
  if (failing) return { word: `Failing for ${span(now.value - failing.getTime())}`, tone: "warn", icon: "alert" };
  return lastAttemptTime === undefined ? { word: "Nothing sent yet", tone: "", icon: "clock" } : { word: "Working", tone: "ok", icon: "check" };
}

export function projectsOf({ filter }: Webhook): string {
  return filter?.allProjects ? "all projects" : (filter?.projectIds ?? []).join(", ");
}

export function eventsOf({ filter }: Webhook): string {
  const labels = Object.entries(filter?.labels ?? {}).map(([key, value]) => `${key}: ${value}`);
  const types = filter?.types.length ? filter.types.map((type) => (type === "*" ? "everything" : type)) : ["ends, attention, approvals"];
  return [types.join(", "), ...(labels.length > 0 ? [`with ${labels.join(", ")}`] : [])].join(" ");
}
