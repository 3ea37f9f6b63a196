/** What happened to a job, from its first event on. */
import type { Job } from "@evergreen/video/v1/video";
import { EventKind } from "@evergreen/video/web";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { client, type Fault, faultOf } from "../api.js";
import { bytes, clock, number } from "../format.js";
import { costOf, phaseOf } from "../jobs.js";
import { Icon } from "../parts.js";
import { listen, tellsAfter } from "../store.js";
import { type Happened } from "../timeline.js";

const KINDS: Readonly<Record<string, EventKind>> = Object.fromEntries(
  Object.entries(EventKind).flatMap(([name, value]) => (typeof value === "number" ? [[name.toLowerCase(), value]] : [])),
);

/** Reads a job's events from the first on; those from now on come by the socket. */
export function useEvents(jobId: string) {
  const events = useSignal<readonly Happened[]>([]);
  const whole = useSignal(true);
  const turn = useSignal(0);
  const fault = useSignal<Fault | undefined>(undefined);
  useEffect(() => {
    fault.value = undefined;
    const controller = new AbortController();
    const add = (event: Happened) => {
      if (event.kind === EventKind.SNAPSHOT || events.peek().some(({ revision }) => revision === event.revision)) return;
      events.value = [...events.peek(), event].sort((a, b) => Number(a.revision - b.revision));
    };
    const stop = listen(({ kind, revision, time, job }) => {
      if (job.jobId === jobId) add({ kind: KINDS[kind] ?? EventKind.UNSPECIFIED, revision, time, job });
    });
    const read = async () => {
      let projectId = "";
      const watch = client.watch({ jobIds: [jobId], afterRevision: 0, onGap: () => (whole.value = false) }, { signal: controller.signal });
      for await (const { body, revision } of watch) {
        // The socket may have begun later than this checkpoint was made: what lies between would be told by neither.
        if (body.case !== "event" && tellsAfter(projectId, revision)) break;
        if (body.case !== "event") continue;
        const { kind, time, job } = body.value;
        projectId = job?.projectId ?? projectId;
        if (job && time) add({ kind, revision, time: timestampDate(time), job });
      }
    };
    read().catch((error: unknown) => {
      if (!controller.signal.aborted) fault.value = faultOf(error);
    });
    return () => {
      controller.abort();
      stop();
    };
  }, [jobId, turn.value]);
  return { events, whole, fault, again: () => (turn.value += 1) };
}

const WORDS: Readonly<Record<number, string>> = {
  [EventKind.CREATED]: "Created",
  [EventKind.STARTED]: "Started",
  [EventKind.STAGE_CHANGED]: "Stage",
  [EventKind.OUTPUT_ADDED]: "Output added",
  [EventKind.WARNING]: "Warning",
  [EventKind.CANCELLING]: "Cancelling",
  [EventKind.NEEDS_ATTENTION]: "Needs attention",
  [EventKind.RESOLVED]: "Resolved",
  [EventKind.SUCCEEDED]: "Succeeded",
  [EventKind.FAILED]: "Failed",
  [EventKind.CANCELLED]: "Cancelled",
  [EventKind.EXPIRED]: "Expired",
};

function detail({ kind, job }: Happened): string {
  if (kind === EventKind.STAGE_CHANGED || kind === EventKind.STARTED) return phaseOf(job).word;
  if (kind === EventKind.WARNING) return job.warnings.at(-1)?.message ?? "";
  if (kind === EventKind.OUTPUT_ADDED) return bytes(job.outputs.at(-1)?.sizeBytes ?? 0n);
  if (kind === EventKind.SUCCEEDED) return `${costOf(job).sum} credits`;
  return job.error?.message ?? "";
}

export function Events({ job, history: { events: source, whole, fault, again } }: { readonly job: Job; readonly history: ReturnType<typeof useEvents> }) {
  const events = source.value;
  const steps = events.filter(({ kind }) => kind === EventKind.PROGRESS).length;
  const most = job.request?.maxAttempts || job.generateRequest?.maxAttempts || 1;
  return (
    <section class="card">
      <h2>
        Events
        <span class="faint num">
          {steps > 0 && `${number(steps)} steps of progress · `}attempt {job.attempt || 1} of {most}
        </span>
      </h2>
      {fault.value && (
        <p class="state bad told" role="alert">
          <Icon name="alert" />
          What happened could not be read: {fault.value.text}
          <button class="btn mini" type="button" onClick={again}>
            Try again
          </button>
        </p>
      )}
      {!fault.value && events.length === 0 && (
        <p class="faint" aria-busy="true">
          Reading what happened…
        </p>
      )}
      {!whole.value && <p class="faint">What happened first is not kept any more.</p>}
      <table class="log">
        <tbody>
          {events
            .filter(({ kind }) => kind !== EventKind.PROGRESS)
            .reverse()
            .map((event) => (
              <tr key={String(event.revision)} data-revision={String(event.revision)}>
                <td>
                  <time>
                    {clock(event.time)}.{String(event.time.getMilliseconds()).padStart(3, "0")}
                  </time>
                </td>
                <td class="num">{number(event.revision)}</td>
                <td>
                  <b>{WORDS[event.kind] ?? phaseOf(event.job).word}</b> <span class="dim">{detail(event)}</span>
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </section>
  );
}
