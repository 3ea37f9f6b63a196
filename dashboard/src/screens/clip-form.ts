/** What the form of a new clip holds, as a request, and which field shows what is wrong with that. */
import { CallError, InvalidRequest, MediaRole, type VideoFields } from "@evergreen/video/web";

import { faultOf, said } from "../api.js";
import type { Frame } from "./picture.js";

export interface Form {
  readonly sceneId: string;
  readonly prompt: string;
  readonly model: string;
  readonly ratio: string;
  readonly seconds: string;
  readonly takes: string;
  readonly most: string;
  readonly seed: string;
  readonly attempts: string;
  readonly priority: string;
  readonly labels: string;
  /** Minutes, from `at` on: the same request again must have the same deadlines. */
  readonly startIn: string;
  readonly finishIn: string;
  readonly at: number;
}

export const FRESH: Form = { sceneId: "scene-1", prompt: "", model: "", ratio: "", seconds: "", takes: "1", most: "", seed: "", attempts: "", priority: "", labels: "", startIn: "", finishIn: "", at: 0 };

/** Returns a number that was written, or what makes the server say which it wants. */
export function written(text: string): number | undefined {
  return text.trim() === "" ? undefined : Number(text.replace(",", "."));
}

export function fieldsOf(projectId: string, form: Form, frame: Frame | undefined, last: Frame | undefined): VideoFields<Blob> {
  const by = (minutes: number) => new Date(form.at + minutes * 60_000);
  const picture = (role: MediaRole, { sceneId, path }: Frame) => ({ role, source: { case: "asset" as const, value: path }, ...(sceneId !== form.sceneId && { sceneId }) });
  const media = [...(frame ? [picture(MediaRole.FIRST_FRAME, frame)] : []), ...(last ? [picture(MediaRole.LAST_FRAME, last)] : [])];
  const [startIn, finishIn] = [form.startIn, form.finishIn].map(written).map((minutes) => (Number.isFinite(minutes) ? minutes : undefined));
  const [seconds, most, seed, attempts, priority] = [form.seconds, form.most, form.seed, form.attempts, form.priority].map(written);
  const pairs = form.labels.split(",").map((each) => each.split(":").map((part) => part.trim())).filter(([key]) => key);
  return {
    projectId,
    sceneId: form.sceneId.trim(),
    model: form.model,
    promptText: form.prompt,
    ...(form.ratio && { ratio: form.ratio }),
    ...(seconds !== undefined && { durationSeconds: seconds }),
    ...(most !== undefined && { maxCredits: most }),
    ...(seed !== undefined && { seed }),
    ...(attempts !== undefined && { maxAttempts: attempts }),
    ...(priority !== undefined && { priority }),
    ...(pairs.length > 0 && { labels: Object.fromEntries(pairs.map(([key, value = ""]) => [key, value])) }),
    ...(startIn !== undefined && { startBy: by(startIn) }),
    ...(finishIn !== undefined && { finishBy: by(finishIn) }),
    ...(media.length > 0 && { media }),
  };
}

/** Which field of the form shows a fault of the request. */
const PLACES: Readonly<Record<string, string>> = {
  scene_id: "sceneId", prompt_text: "prompt", model: "model", ratio: "ratio", duration_seconds: "seconds", max_credits: "most",
  seed: "seed", max_attempts: "attempts", priority: "priority", labels: "labels", media: "frame", start_by: "startIn", finish_by: "finishIn",
};

export interface Told {
  readonly quote: number | undefined;
  readonly faults: Readonly<Record<string, string>>;
  readonly other: string;
}

export function toldBy(error: unknown): Told {
  if (error instanceof InvalidRequest) {
    const faults: Record<string, string> = {};
    const other: string[] = [];
    for (const { field, description } of error.violations) {
      const at = PLACES[field.split(/[.[]/)[0] ?? ""];
      if (at === undefined) other.push(`${field}: ${description}`);
      else faults[at] ??= description;
    }
    return { quote: undefined, faults, other: other.join("; ") };
  }
  const isSum = error instanceof CallError && /CREDITS_EXCEEDED|PRICE_UNKNOWN/.test(error.reason);
  return { quote: undefined, faults: isSum ? { most: said(error) } : {}, other: isSum ? "" : faultOf(error).text };
}
