/** Jobs as rows, of which one can choose several. */
import type { Job } from "@evergreen/video/v1/video";
import { JobState, Right } from "@evergreen/video/web";
import { type Signal, signal } from "@preact/signals";

import { client, may, said } from "../api.js";
import { number } from "../format.js";
import { canCancel, lengthOf, modelOf, titleOf } from "../jobs.js";
import { Cost, Icon, tell, Thumb, Way } from "../parts.js";
import { to } from "../router.js";
import { put } from "../store.js";

const { NEEDS_ATTENTION } = JobState;

export const selecting = signal(false);

export const chosen = signal<ReadonlySet<string>>(new Set());

function toggle(jobId: string): void {
  const next = new Set(chosen.value);
  if (!next.delete(jobId)) next.add(jobId);
  chosen.value = next;
}

export function Row({ job: source }: { readonly job: Signal<Job> }) {
  const job = source.value;
  const seconds = lengthOf(job);
  const cancel = async () => {
    await client.cancel(job.jobId).then(put, (error: unknown) => tell(said(error)));
  };
  return (
    <li class={`job ${job.state === NEEDS_ATTENTION ? "attention" : ""}`} data-job={job.jobId}>
      <Thumb job={job} />
      <div class="what">
        <a href={job.state === NEEDS_ATTENTION ? to(["attention", job.jobId]) : to(["p", job.projectId, "jobs", job.jobId])}>{titleOf(job)}</a>
        <p class="meta">
          <b>{job.sceneId}</b>
          <span>{modelOf(job)}</span>
          {seconds !== undefined && seconds > 0 && <span>{number(seconds)} s</span>}
        </p>
      </div>
      <Way job={job} />
      <Cost job={job} />
      {selecting.value && canCancel(job) ? (
        <input class="more tick" type="checkbox" aria-label={`Choose ${titleOf(job)}`} checked={chosen.value.has(job.jobId)} onChange={() => toggle(job.jobId)} />
      ) : canCancel(job) && may(Right.WRITE) ? (
        <button class="btn plain more" type="button" aria-label={`Cancel ${titleOf(job)}`} title="Cancel" onClick={() => void cancel()}>
          <Icon name="x" />
        </button>
      ) : (
        <span />
      )}
    </li>
  );
}

export function Group({ title, note, jobs }: { readonly title: string; readonly note?: string; readonly jobs: readonly Signal<Job>[] }) {
  if (jobs.length === 0) return null;
  return (
    <>
      <div class="group">
        <h2>{title}</h2>
        <span class="faint">{note}</span>
      </div>
      <ul class="jobs">
        {jobs.map((job) => (
          <Row key={job.peek().jobId} job={job} />
        ))}
      </ul>
    </>
  );
}
