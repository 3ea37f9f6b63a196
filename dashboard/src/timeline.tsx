/** A job's stages as bars over time, drawn from its events. */
import type { Job } from "@evergreen/video/v1/video";
import { EventKind, JobStage, JobState } from "@evergreen/video/web";

import { clock, date, now, span } from "./format.js";
import { isOpen } from "./jobs.js";

/** One thing that happened, as a screen keeps it. */
export interface Happened {
  readonly kind: EventKind;
  readonly revision: bigint;
  readonly time: Date;
  readonly job: Job;
}

interface Bar {
  readonly name: string;
  readonly tone: string;
  readonly from: number;
  readonly until: number;
}

const ROWS: readonly { readonly name: string; readonly tone: string; readonly stages: readonly JobStage[] }[] = [
  { name: "Preparing", tone: "q", stages: [JobStage.PREPARING] },
  { name: "Waiting", tone: "q", stages: [JobStage.WAITING] },
  { name: "Submitting", tone: "", stages: [JobStage.SUBMITTING, JobStage.THROTTLED] },
  { name: "Generating", tone: "", stages: [JobStage.GENERATING] },
  { name: "Delivering", tone: "d", stages: [JobStage.DELIVERING] },
];

/** Returns a bar for each row that the events tell of; with attempts, from the first beginning to the last end. */
export function barsOf(events: readonly Happened[], end: number): readonly (Bar | undefined)[] {
  return ROWS.map(({ name, tone, stages }) => {
    let from: number | undefined;
    let until = 0;
    events.forEach((event, index) => {
      if (!stages.includes(event.job.stage) || event.job.state > JobState.RUNNING) return;
      from ??= event.time.getTime();
      until = events[index + 1]?.time.getTime() ?? end;
    });
    return from === undefined ? undefined : { name, tone, from, until };
  });
}

/** What a job alone tells, where its events are not kept any more: its four times. */
function barsOfJob(job: Job, end: number): readonly (Bar | undefined)[] {
  const [created, started] = [date(job.createTime)?.getTime() ?? end, date(job.startTime)?.getTime()];
  const waited = { name: "Waiting", tone: "q", from: created, until: started ?? end };
  return [undefined, waited, undefined, started === undefined ? undefined : { name: "Generating", tone: "", from: started, until: end }, undefined];
}

const LEFT = 96;
const WIDE = 580;

export function Timeline({ job, events, whole }: { readonly job: Job; readonly events: readonly Happened[]; readonly whole: boolean }) {
  const end = date(job.endTime)?.getTime() ?? (isOpen(job) ? now.value : (date(job.updateTime)?.getTime() ?? 0));
  const bars = whole && events.length > 0 ? barsOf(events, end) : barsOfJob(job, end);
  const begin = date(job.createTime)?.getTime() ?? end;
  const total = Math.max(end - begin, 1);
  const x = (time: number) => LEFT + (Math.min(Math.max(time - begin, 0), total) / total) * WIDE;
  const told = bars.flatMap((bar) => (bar ? [`${bar.name} ${span(bar.until - bar.from)}`] : [])).join(", ");
  return (
    <section class="card">
      <h2>
        Timeline
        <span class="faint num">{isOpen(job) ? `${span(total)} so far` : `${span(total)} from accepted to the end`}</span>
      </h2>
      <div class="scroll" tabIndex={0} role="group" aria-label="Timeline">
        <svg class="gantt" viewBox="0 0 760 172" role="img" aria-label={told || "Nothing yet"}>
          <g class="grid">
            {[0, 1, 2, 3, 4].map((part) => (
              <path key={part} d={`M${LEFT + (WIDE / 4) * part} 6v142`} stroke-dasharray="2 4" />
            ))}
          </g>
          {ROWS.map(({ name }, index) => {
            const bar = bars[index];
            const y = 12 + 28 * index;
            return (
              <g key={name}>
                <text x="0" y={y + 10.5}>
                  {name}
                </text>
                {bar && (
                  <>
                    <rect class={`b ${bar.tone}`} x={x(bar.from)} y={y} width={Math.max(x(bar.until) - x(bar.from), 4)} height="13" rx="3" />
                    <text class="val" x={Math.max(x(bar.until), x(bar.from) + 4) + 8} y={y + 11}>
                      {span(bar.until - bar.from)}
                    </text>
                  </>
                )}
              </g>
            );
          })}
          {[0, 1, 2, 3, 4].map((part) => (
            <text key={part} class="ax" x={LEFT + (WIDE / 4) * part} y="166" text-anchor="middle">
              {part === 0 ? clock(new Date(begin)) : `+${span((total / 4) * part)}`}
            </text>
          ))}
        </svg>
      </div>
    </section>
  );
}
