/** What a job is to a reader: a word, a shape, a colour, how far it is on its way, and what it costs. */
import type { Job, Output } from "@evergreen/video/v1/video";
import { CostBasis, JobStage, JobState, MediaKind } from "@evergreen/video/web";

import { ago, date, number, now, span } from "./format.js";

export interface Phase {
  readonly word: string;
  readonly tone: "" | "running" | "ok" | "warn" | "bad" | "gone";
  readonly icon: string;
  /** Which of the five steps it is at: prepare, wait, submit, generate, deliver. */
  readonly step: number;
  /** How much of the step is done, where that is known. */
  readonly part?: number;
  readonly note: string;
}

/** A job's text: a prompt, or what is to be said. */
export function promptOf(job: Job | undefined): string | undefined {
  if (job?.request) return job.request.promptText;
  const spec = job?.generateRequest?.operation.value as { promptText?: string; text?: string } | undefined;
  return job?.generateRequest ? (spec?.promptText ?? spec?.text ?? "") : undefined;
}

/** Returns whether all that was asked for is known: what goes in has no path until it is stored. */
export function isKnown(job: Job): boolean {
  if (promptOf(job) === undefined) return false;
  return job.stage === JobStage.PREPARING || (job.request?.media ?? []).every(({ source }) => source.case !== undefined);
}

export function titleOf(job: Job): string {
  const prompt = promptOf(job);
  if (prompt) return prompt;
  const kind = { [MediaKind.IMAGE]: "Picture", [MediaKind.SPEECH]: "Speech", [MediaKind.SOUND]: "Sound" }[job.kind as number] ?? "Clip";
  return `${kind} ${job.jobId.slice(-6)}`;
}

export function modelOf(job: Job): string {
  return job.request?.model ?? job.generateRequest?.model ?? "";
}

export function isOpen(job: Job): boolean {
  return [JobState.QUEUED, JobState.RUNNING, JobState.NEEDS_ATTENTION, JobState.CANCELLING].includes(job.state);
}

export function canCancel(job: Job): boolean {
  return job.state === JobState.QUEUED || job.state === JobState.RUNNING;
}

const FAILED_AT = (job: Job) => (job.outputs.length > 0 ? 4 : job.providerTaskId ? 3 : job.startTime ? 2 : 1);

export function phaseOf(job: Job): Phase {
  const left = date(job.estimatedEndTime);
  const soon = left && left.getTime() > now.value ? `≈ ${span(left.getTime() - now.value)}` : "";
  switch (job.state) {
    case JobState.QUEUED: {
      if (job.stage === JobStage.PREPARING) return { word: "Preparing", tone: "", icon: "clock", step: 0, note: "reads what goes in" };
      const start = date(job.estimatedStartTime);
      const note = start && start.getTime() > now.value ? `starts in ≈ ${span(start.getTime() - now.value)}` : "";
      return { word: job.queuePosition ? `Number ${number(job.queuePosition)} in line` : "Waiting", tone: "", icon: "clock", step: 1, note };
    }
    case JobState.RUNNING:
      if (job.stage === JobStage.DELIVERING) return { word: "Delivering", tone: "running", icon: "turn", step: 4, part: 0.5, note: "checks and keeps it" };
      if (job.stage === JobStage.GENERATING) {
        const done = `${Math.round(job.progress * 100)} %`;
        return { word: "Generating", tone: "running", icon: "turn", step: 3, part: job.progress, note: soon ? `${done} · ${soon}` : done };
      }
      if (job.stage === JobStage.THROTTLED) return { word: "Throttled", tone: "running", icon: "turn", step: 2, part: 0.4, note: "the provider lets it wait" };
      return { word: "Submitting", tone: "running", icon: "turn", step: 2, part: 0.2, note: "" };
    case JobState.NEEDS_ATTENTION:
      return { word: "Needs attention", tone: "warn", icon: "alert", step: 2, note: ago(date(job.updateTime)) };
    case JobState.CANCELLING:
      return { word: "Cancelling", tone: "gone", icon: "turn", step: FAILED_AT(job), note: "" };
    case JobState.SUCCEEDED:
      return { word: "Succeeded", tone: "ok", icon: "check", step: 5, note: took(job) };
    case JobState.FAILED:
      return { word: "Failed", tone: "bad", icon: "x", step: FAILED_AT(job), note: reasonOf(job) };
    case JobState.EXPIRED:
      return { word: "Expired", tone: "gone", icon: "clock", step: FAILED_AT(job), note: reasonOf(job) };
    case JobState.CANCELLED:
      return { word: "Cancelled", tone: "gone", icon: "x", step: FAILED_AT(job), note: ago(date(job.endTime)) };
    default:
      return { word: "Unknown", tone: "gone", icon: "clock", step: 0, note: "" };
  }
}

function reasonOf(job: Job): string {
  return (job.error?.reason ?? "").toLowerCase().replaceAll("_", " ");
}

function took(job: Job): string {
  const [began, ended] = [date(job.createTime), date(job.endTime)];
  return began && ended ? `${span(ended.getTime() - began.getTime())} in all` : "";
}

/** What it costs, and how sure that is. */
export function costOf(job: Job): { readonly sum: string; readonly how: string } {
  const quote = job.estimatedCredits;
  if (job.chargedCredits !== undefined) {
    const bound = job.costBasis === CostBasis.UPPER_BOUND;
    return { sum: `${bound ? "≤ " : ""}${number(job.chargedCredits)}`, how: bound ? "at most" : "charged" };
  }
  if (quote === undefined) return { sum: "?", how: isOpen(job) ? "no price known" : "unknown" };
  if (job.state === JobState.NEEDS_ATTENTION) return { sum: `≤ ${number(quote)}`, how: "unsure" };
  return isOpen(job) ? { sum: number(quote), how: job.state === JobState.QUEUED ? "at most" : "reserved" } : { sum: "?", how: "unknown" };
}

/** The output that a screen shows first. */
export function mainOutput(job: Job): Output | undefined {
  return job.outputs[0];
}

/** A picture for a job: its poster, itself, or what it was made from. */
export function pictureOf(job: Job): { readonly sceneId: string; readonly path: string; readonly made: boolean } | undefined {
  const output = mainOutput(job);
  if (output?.poster) return { sceneId: job.sceneId, path: output.poster, made: true };
  if (output?.contentType.startsWith("image/")) return { sceneId: job.sceneId, path: output.asset, made: true };
  const first = job.request?.media.find((each) => each.source.case === "asset" && /^images\//.test(each.source.value));
  if (first?.source.case === "asset") return { sceneId: first.sceneId || job.sceneId, path: first.source.value, made: false };
  return undefined;
}

export function lengthOf(job: Job): number | undefined {
  return mainOutput(job)?.durationSeconds || job.request?.durationSeconds;
}
