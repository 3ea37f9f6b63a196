/** The inbox of jobs that nobody but a person can decide: what happened, what it may cost, and the three ways out. */
import type { Job } from "@evergreen/video/v1/video";
import { JobState, Right, SubmissionResolution } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { client, may, said } from "../api.js";
import { ago, clock, count, date, number } from "../format.js";
import { modelOf, promptOf, titleOf } from "../jobs.js";
import { useLoad } from "../loading.js";
import { Confirm, CopyButton, Empty, Fact, Failed, Icon, Skeleton, tell, Thumb } from "../parts.js";
import { to } from "../router.js";
import { useTitle } from "../shell.js";
import { all, follow, projects, put, putAll, recount } from "../store.js";

const { ATTACH, RESUBMIT, ABANDON } = SubmissionResolution;
const AROUND_MS = 5000;
const MOST = 200;

function credits(job: Job): string {
  return job.estimatedCredits === undefined ? "an unknown number of credits" : `${number(job.estimatedCredits)} credits`;
}

function Decide({ job }: { readonly job: Job }) {
  const task = useSignal("");
  const fault = useSignal("");
  const busy = useSignal(false);
  const asking = useSignal(false);
  const resolve = async (resolution: SubmissionResolution) => {
    asking.value = false;
    if (busy.value) return;
    busy.value = true;
    fault.value = "";
    try {
      put(await client.resolve({ jobId: job.jobId, resolution, ...(resolution === ATTACH && { providerTaskId: task.value.trim() }) }));
      tell(resolution === ATTACH ? "It goes on with that task" : resolution === RESUBMIT ? "It is submitted once more" : "It is given up");
      recount(0);
    } catch (error) {
      fault.value = said(error);
    }
    busy.value = false;
  };
  const allowed = may(Right.ADMIN);
  const quote = job.estimatedCredits;
  return (
    <>
      <div class="ways">
        <section class="choice best">
          <h2>
            <Icon name="attach" />I found the task
          </h2>
          <p>Goes on with it: progress, download and cost as if nothing had happened.</p>
          <label class="field">
            <span>Task id</span>
            <input class="in mono" placeholder="19d252d2-6781-…" value={task.value} disabled={!allowed} onInput={(event) => (task.value = event.currentTarget.value)} />
          </label>
          <button class="btn primary" type="button" disabled={!allowed || busy.value || task.value.trim() === ""} onClick={() => void resolve(ATTACH)}>
            Attach
          </button>
        </section>
        <section class="choice">
          <h2>
            <Icon name="again" />
            There is none
          </h2>
          <p>Sends the request once more. If the lost task exists after all, both are paid; the late one is deleted when it turns up.</p>
          <p class="cost num">{quote === undefined ? "the same once more, twice at worst" : `${number(quote)} more credits, ${number(quote * 2)} at worst`}</p>
          <button class="btn" type="button" disabled={!allowed || busy.value} onClick={() => (asking.value = true)}>
            Submit again
          </button>
        </section>
        <section class="choice">
          <h2>
            <Icon name="x" />
            Give it up
          </h2>
          <p>The job fails. Since it may have been paid, its whole quote is booked as spent, marked as an upper bound.</p>
          <p class="cost num">{quote === undefined ? "its unknown cost is booked" : `${number(quote)} credits booked`}</p>
          <button class="btn danger" type="button" disabled={!allowed || busy.value} onClick={() => void resolve(ABANDON)}>
            Abandon
          </button>
        </section>
      </div>
      {!allowed && <p class="dim">Your token lacks the right admin, which decides about money: ask somebody who has it.</p>}
      {fault.value && (
        <p class="state bad" role="alert">
          <Icon name="alert" />
          {fault.value}
        </p>
      )}
      {asking.value && (
        <Confirm
          title="Submit it once more?"
          say={
            <>
              If the lost task exists after all, this is paid twice: <b>{quote === undefined ? "an unknown sum" : `${number(quote * 2)} credits`}</b> at worst.
            </>
          }
          act="Submit again"
          onYes={() => void resolve(RESUBMIT)}
          onNo={() => (asking.value = false)}
        />
      )}
    </>
  );
}

function Case({ job }: { readonly job: Job }) {
  const at = date(job.updateTime);
  const started = date(job.startTime) ?? at;
  const from = started && new Date(started.getTime() - AROUND_MS);
  const until = at && new Date(at.getTime() + AROUND_MS);
  const prompt = promptOf(job) ?? "";
  const near = all.value.filter((each) => {
    const other = each.peek();
    const time = date(other.startTime)?.getTime();
    return other.jobId !== job.jobId && modelOf(other) === modelOf(job) && time !== undefined && from !== undefined && until !== undefined && time >= from.getTime() - 30_000 && time <= until.getTime() + 30_000;
  });
  return (
    <div class="stack">
      <section class="card stack">
        <div>
          <span class="state warn pill">
            <Icon name="alert" />
            Submission unknown
          </span>
        </div>
        <p class="say">
          The request for this clip was sent at <b>{started && clock(started)}</b>, and no answer of the provider came. So a task of up to <b>{credits(job)}</b> may be running there, or none. We
          will not send it again by ourselves: that could pay twice.
        </p>
        <ol class="hunt">
          <li>
            <span>
              Open the provider's console, and look at tasks made between <b class="num">{from && clock(from)}</b> and <b class="num">{until && clock(until)}</b> (your time).
            </span>
          </li>
          <li>
            <span>
              Compare model <span class="tag2">{modelOf(job)}</span>
              {job.request?.durationSeconds && (
                <>
                  , length <span class="tag2">{job.request.durationSeconds} s</span>
                </>
              )}{" "}
              and the prompt <CopyButton text={prompt} what="the prompt" />. Other jobs of ours in that minute:{" "}
              {near.length === 0 ? "none" : near.slice(0, 3).map((each) => (
                <a key={each.peek().jobId} class="link" href={to(["p", each.peek().projectId, "jobs", each.peek().jobId])}>
                  {titleOf(each.peek()).slice(0, 32)}{" "}
                </a>
              ))}
              .
            </span>
          </li>
          <li>
            <span>Then say what you found.</span>
          </li>
        </ol>
      </section>
      <Decide key={job.jobId} job={job} />
      <section class="card">
        <h2>
          The request
          <a class="dim" href={to(["p", job.projectId, "jobs", job.jobId])}>
            All of the job
          </a>
        </h2>
        <dl class="facts">
          <Fact name="Prompt">{prompt || "none"}</Fact>
          <Fact name="Model">
            <span class="num">{[modelOf(job), job.request?.ratio, job.request?.durationSeconds && `${job.request.durationSeconds} s`].filter(Boolean).join(" · ")}</span>
          </Fact>
          <Fact name="Scene">
            {job.projectId} / {job.sceneId}
          </Fact>
          <Fact name="Request id">
            <span class="mono">{job.requestId}</span>
          </Fact>
          <Fact name="The service says">{job.error?.message ?? "–"}</Fact>
        </dl>
      </section>
    </div>
  );
}

export function AttentionScreen({ chosen }: { readonly chosen: string }) {
  const { value, fault, again } = useLoad("attention", async (signal) => {
    const jobs: Job[] = [];
    for await (const job of client.list({ states: [JobState.NEEDS_ATTENTION], newestFirst: true, pageSize: MOST }, { signal })) {
      jobs.push(job);
      if (jobs.length >= MOST) break;
    }
    putAll(jobs);
    return true;
  });
  // Whoever needs somebody next may be of any project.
  useEffect(() => projects.value?.slice(0, 50).forEach((each) => follow(each.projectId)), [projects.value]);
  const waiting = all.value.filter((each) => each.value.state === JobState.NEEDS_ATTENTION);
  const shown = waiting.find((each) => each.peek().jobId === chosen) ?? waiting[0];
  useTitle(() => (waiting.length > 0 ? `${waiting.length} need you` : "Attention"));
  return (
    <>
      <header class="top">
        <h1>Attention</h1>
        {waiting.length > 0 && <span class="dim">{count(waiting.length, "job waits", "jobs wait")} for a decision; nothing is paid meanwhile.</span>}
      </header>
      {fault.value && <Failed fault={fault.value} what="What needs you could not be read" again={again} />}
      {!fault.value && value.value === undefined && waiting.length === 0 && <Skeleton rows={2} />}
      {!fault.value && value.value && waiting.length === 0 && (
        <Empty icon="check" title="Nobody needs you">
          <p class="dim">When the answer to a paid request is lost, the job waits here for somebody to look, and nothing is paid twice.</p>
        </Empty>
      )}
      {shown && (
        <div class="inbox">
          <ul class="mail" aria-label="Jobs that need you">
            {waiting.map((each) => {
              const job = each.value;
              return (
                <li key={job.jobId}>
                  <a href={to(["attention", job.jobId])} aria-current={each === shown ? "true" : undefined}>
                    <Thumb job={job} />
                    <span>
                      <b>{titleOf(job)}</b>
                      <small class="faint">
                        {job.projectId} / {job.sceneId} · {ago(date(job.updateTime))} · {job.estimatedCredits === undefined ? "no price" : `≤ ${number(job.estimatedCredits)} credits`}
                      </small>
                    </span>
                  </a>
                </li>
              );
            })}
          </ul>
          <Case key={shown.peek().jobId} job={shown.value} />
        </div>
      )}
    </>
  );
}
