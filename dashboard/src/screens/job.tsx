/** One job: its clip, its time by stage, what happened, what it costs, its files, its request. */
import type { Job } from "@evergreen/video/v1/video";
import { CostBasis, isFinal, JobState, Right } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";

import { client, may, said } from "../api.js";
import { number, shortId } from "../format.js";
import { canCancel, costOf, isOpen, pictureOf, phaseOf, titleOf } from "../jobs.js";
import { useLoad } from "../loading.js";
import { Confirm, Fact, Failed, Icon, Picture, Skeleton, State, Steps, tell } from "../parts.js";
import { to } from "../router.js";
import { project, useTitle } from "../shell.js";
import { find, follow, put } from "../store.js";
import { Timeline } from "../timeline.js";
import { Files, Request } from "./about.js";
import { Events, useEvents } from "./happened.js";

function Player({ job }: { readonly job: Job }) {
  const broken = useSignal(false);
  const onError = () => (broken.value = true);
  const output = job.outputs[0];
  const href = (path: string, width?: number) => client.scenes.assetHref({ projectId: job.projectId, sceneId: job.sceneId, path }, width ? { width } : {});
  if (output === undefined) {
    const { word, part } = phaseOf(job);
    const picture = pictureOf(job);
    return (
      <div class="player waiting">
        {picture && <Picture projectId={job.projectId} sceneId={picture.sceneId} path={picture.path} width={1280} />}
        <div class="over">
          <State job={job} pill />
          {isOpen(job) && part !== undefined && <b class="num">{Math.round(part * 100)} %</b>}
          {!isOpen(job) && <span>{job.error?.message ?? word}</span>}
        </div>
      </div>
    );
  }
  if (broken.value) {
    return (
      <div class="player waiting">
        <div class="over" role="alert">
          <span>This browser cannot play the file, or it could not be read. It can be downloaded.</span>
        </div>
      </div>
    );
  }
  if (output.contentType.startsWith("image/")) {
    return (
      <div class="player">
        <img src={href(output.asset)} alt={titleOf(job)} onError={onError} />
      </div>
    );
  }
  if (output.contentType.startsWith("audio/")) return <audio class="sound" controls src={href(output.asset)} onError={onError} />;
  return (
    <div class="player">
      <video controls muted loop playsInline preload="metadata" poster={output.poster ? href(output.poster) : undefined} src={href(output.asset)} aria-label={titleOf(job)} onError={onError} />
    </div>
  );
}

export function JobScreen({ jobId }: { readonly jobId: string }) {
  const { value, fault, again } = useLoad(jobId, async (signal) => {
    const job = await client.status(jobId, { signal });
    put(job);
    follow(job.projectId);
    return true;
  });
  const history = useEvents(jobId);
  const { events, whole } = history;
  const asking = useSignal(false);
  const job = find(jobId)?.value;
  useTitle(() => {
    const shown = find(jobId)?.value;
    if (shown === undefined) return "Job";
    const { part, word } = phaseOf(shown);
    return `${shown.state === JobState.RUNNING && part !== undefined ? `${Math.round(part * 100)} %` : word} · ${titleOf(shown).slice(0, 40)}`;
  });
  if (fault.value || job === undefined || value.value === undefined) {
    return (
      <>
        <header class="top">
          <p class="crumbs">
            <a href={to(["p", project.value, "jobs"])}>Jobs</a>›<span class="mono">{shortId(jobId)}</span>
          </p>
          <h1>Job</h1>
        </header>
        {fault.value ? <Failed fault={fault.value} what="The job could not be read" again={again} /> : <Skeleton rows={2} />}
      </>
    );
  }
  const cancel = async () => {
    asking.value = false;
    await client.cancel(jobId).then(put, (error: unknown) => tell(said(error)));
  };
  const output = job.outputs[0];
  const { sum, how } = costOf(job);
  return (
    <>
      <header class="top">
        <p class="crumbs">
          <a href={to(["p", job.projectId, "jobs"])}>Jobs</a>›
          <a href={to(["p", job.projectId, "scenes", job.sceneId])}>
            {job.projectId} / {job.sceneId}
          </a>
          ›<span class="mono">{shortId(job.jobId)}</span>
        </p>
        <h1>{titleOf(job)}</h1>
        <State job={job} pill />
        <div class="end">
          {output && (
            <a class="btn" href={client.scenes.assetHref({ projectId: job.projectId, sceneId: job.sceneId, path: output.asset })} download>
              <Icon name="down" />
              Download
            </a>
          )}
          {job.state === JobState.NEEDS_ATTENTION && (
            <a class="btn primary" href={to(["attention", jobId])}>
              <Icon name="bell" />
              Decide
            </a>
          )}
          {job.request && may(Right.WRITE) && (
            <a class="btn" href={to(["p", job.projectId, "new"], { from: jobId })}>
              <Icon name="again" />
              Make again
            </a>
          )}
          {canCancel(job) && may(Right.WRITE) && (
            <button class="btn danger" type="button" onClick={() => (asking.value = true)}>
              <Icon name="x" />
              Cancel
            </button>
          )}
        </div>
      </header>
      {isOpen(job) && (
        <div class="wide-steps">
          <Steps job={job} />
        </div>
      )}
      <div class="two">
        <div class="stack">
          <Player job={job} />
          <Timeline job={job} events={events.value} whole={whole.value} />
          <Events job={job} history={history} />
        </div>
        <aside class="stack" aria-label="About this job">
          <section class="card">
            <h2>Cost</h2>
            <dl class="facts">
              <Fact name={isFinal(job) ? "Charged" : "Now"}>
                <b class="num">{sum} credits</b> <span class="dim">{isFinal(job) && job.costBasis === CostBasis.CONFIRMED ? "confirmed" : how}</span>
              </Fact>
              <Fact name="Quoted">
                <span class="num">
                  {job.estimatedCredits === undefined ? "no price known" : `${number(job.estimatedCredits)} at most`}
                  {job.request?.maxCredits !== undefined && `, limit ${number(job.request.maxCredits)}`}
                </span>
              </Fact>
            </dl>
          </section>
          {job.warnings.length > 0 && (
            <section class="card">
              <h2>Warnings</h2>
              <ul class="feed plain">
                {job.warnings.map(({ code, message }) => (
                  <li key={code + message}>{message}</li>
                ))}
              </ul>
            </section>
          )}
          <Files job={job} />
          <Request job={job} />
        </aside>
      </div>
      {asking.value && (
        <Confirm
          title="Cancel this job?"
          say={job.state === JobState.QUEUED ? "Nothing was paid yet, and nothing will be." : "The provider is asked to stop. If the clip is finished by then, it is delivered and paid."}
          act="Cancel the job"
          onYes={() => void cancel()}
          onNo={() => (asking.value = false)}
        />
      )}
    </>
  );
}
