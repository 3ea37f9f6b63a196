/** One job: its clip, its time by stage, what happened, what it costs, its files, its request. */
import { CostBasis, EventKind, isFinal, type Job, JobState, OnUnknownSubmission, Right } from "@evergreen/video/web";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { client, may, said } from "../api.js";
import { asCommand, asCurl, asPython } from "../code.js";
import { bytes, clock, number, shortId } from "../format.js";
import { canCancel, costOf, isOpen, modelOf, pictureOf, phaseOf, titleOf } from "../jobs.js";
import { useLoad } from "../loading.js";
import { Confirm, CopyButton, Fact, Failed, Icon, Picture, Skeleton, State, Steps, tell } from "../parts.js";
import { to } from "../router.js";
import { useTitle } from "../shell.js";
import { find, follow, listen, put, tellsAfter } from "../store.js";
import { type Happened, Timeline } from "../timeline.js";

const KINDS: Readonly<Record<string, EventKind>> = Object.fromEntries(
  Object.entries(EventKind).flatMap(([name, value]) => (typeof value === "number" ? [[name.toLowerCase(), value]] : [])),
);

/** Reads a job's events from the first on; those from now on come by the socket. */
function useEvents(jobId: string) {
  const events = useSignal<readonly Happened[]>([]);
  const whole = useSignal(true);
  useEffect(() => {
    const controller = new AbortController();
    const add = (event: Happened) => {
      if (event.kind === EventKind.SNAPSHOT || events.peek().some(({ revision }) => revision === event.revision)) return;
      events.value = [...events.peek(), event].sort((a, b) => Number(a.revision - b.revision));
    };
    const stop = listen(({ kind, revision, time, job }) => {
      if (job.jobId === jobId) add({ kind: KINDS[kind] ?? EventKind.UNSPECIFIED, revision, time, job });
    });
    const read = async () => {
      const watch = client.watch({ jobIds: [jobId], afterRevision: 0, onGap: () => (whole.value = false) }, { signal: controller.signal });
      let projectId = "";
      for await (const { body, revision } of watch) {
        // The socket may have begun later than this checkpoint was made: what lies between would be told by neither.
        if (body.case !== "event" && tellsAfter(projectId, revision)) break;
        if (body.case !== "event") continue;
        const { kind, time, job } = body.value;
        projectId = job?.projectId ?? projectId;
        if (job && time) add({ kind, revision, time: timestampDate(time), job });
      }
    };
    read().catch(() => undefined);
    return () => {
      controller.abort();
      stop();
    };
  }, [jobId]);
  return { events, whole };
}

function Player({ job }: { readonly job: Job }) {
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
  if (output.contentType.startsWith("image/")) {
    return (
      <div class="player">
        <img src={href(output.asset)} alt={titleOf(job)} />
      </div>
    );
  }
  if (output.contentType.startsWith("audio/")) return <audio class="sound" controls src={href(output.asset)} />;
  return (
    <div class="player">
      <video controls muted loop playsInline preload="metadata" poster={output.poster ? href(output.poster) : undefined} src={href(output.asset)} aria-label={titleOf(job)} />
    </div>
  );
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

function Events({ job, events, whole }: { readonly job: Job; readonly events: readonly Happened[]; readonly whole: boolean }) {
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
      {!whole && <p class="faint">What happened first is not kept any more.</p>}
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

function Files({ job }: { readonly job: Job }) {
  const went = (job.request?.media ?? []).flatMap(({ source, sceneId }) => (source.case === "asset" ? [{ path: source.value, sceneId: sceneId || job.sceneId }] : []));
  if (job.outputs.length === 0 && went.length === 0) return null;
  const href = (path: string, sceneId = job.sceneId) => client.scenes.assetHref({ projectId: job.projectId, sceneId, path });
  return (
    <section class="card">
      <h2>Files</h2>
      <ul class="files">
        {job.outputs.map((output) => (
          <li key={output.asset}>
            <div class="thumb">{output.poster && <Picture projectId={job.projectId} sceneId={job.sceneId} path={output.poster} />}</div>
            <div class="name-of">
              <div class="name mono">{output.asset.split("/").at(-1)}</div>
              <span class="faint num">
                {output.width > 0 && `${output.width} × ${output.height} · `}
                {output.durationSeconds > 0 && `${output.durationSeconds.toFixed(1)} s · `}
                {bytes(output.sizeBytes)}
              </span>
            </div>
            <a class="btn plain" href={href(output.asset)} download aria-label={`Download ${output.asset}`}>
              <Icon name="down" />
            </a>
          </li>
        ))}
        {went.map(({ path, sceneId }) => (
          <li key={path}>
            <div class="thumb">
              <Picture projectId={job.projectId} sceneId={sceneId} path={path} />
            </div>
            <div class="name-of">
              <div class="name">{path.split("/").at(-1)}</div>
              <span class="faint">went in</span>
            </div>
            <a class="btn plain" href={href(path, sceneId)} aria-label={`Open ${path}`}>
              <Icon name="image" />
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Request({ job }: { readonly job: Job }) {
  const { request } = job;
  const labels = Object.entries(job.labels);
  const asks = request?.onUnknownSubmission === OnUnknownSubmission.RESUBMIT ? "submit again" : "ask";
  return (
    <>
      <section class="card">
        <h2>Request</h2>
        <dl class="facts">
          <Fact name="Model">{modelOf(job)}</Fact>
          {request && (
            <Fact name="Shape">
              <span class="num">{[request.ratio, request.resolution, request.durationSeconds ? `${request.durationSeconds} s` : ""].filter(Boolean).join(" · ") || "the model's own"}</span>
            </Fact>
          )}
          {request && <Fact name="Seed">{request.seed === undefined ? "random" : String(request.seed)}</Fact>}
          <Fact name="Request id">
            <span class="mono">{job.requestId}</span>
          </Fact>
          <Fact name="If unknown">{asks}</Fact>
          {labels.length > 0 && (
            <Fact name="Labels">
              {labels.map(([key, value]) => (
                <span class="tag2" key={key}>
                  {key}: {value}
                </span>
              ))}
            </Fact>
          )}
        </dl>
      </section>
      <section class="card">
        <h2>Ids</h2>
        <dl class="facts">
          <Fact name="Job">
            <span class="mono">{job.jobId}</span> <CopyButton text={job.jobId} what="the job's id" />
          </Fact>
          {job.providerTaskId && (
            <Fact name="Provider's task">
              <span class="mono">{job.providerTaskId}</span> <CopyButton text={job.providerTaskId} what="the task's id" />
            </Fact>
          )}
        </dl>
      </section>
      {request && <Code request={request} />}
    </>
  );
}

export function Code({ request }: { readonly request: NonNullable<Job["request"]> }) {
  return (
    <section class="card">
      {[
        ["Command line", asCommand(request)] as const,
        ["curl", asCurl(request)] as const,
        ["Python", asPython(request)] as const,
      ].map(([name, text]) => (
        <details key={name}>
          <summary>The same by {name}</summary>
          <pre tabIndex={0}>{text}</pre>
          <CopyButton text={text} what={`the ${name}`} />
        </details>
      ))}
    </section>
  );
}

export function JobScreen({ jobId }: { readonly jobId: string }) {
  const { value, fault, again } = useLoad(jobId, async (signal) => {
    const job = await client.status(jobId, { signal });
    put(job);
    follow(job.projectId);
    return true;
  });
  const { events, whole } = useEvents(jobId);
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
          <h1>Job</h1>
        </header>
        {fault.value ? <Failed fault={fault.value} again={again} /> : <Skeleton rows={2} />}
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
          <Events job={job} events={events.value} whole={whole.value} />
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

