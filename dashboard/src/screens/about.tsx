/** A job's files, its request, and the same request as code. */
import type { Job } from "@evergreen/video/v1/video";
import { OnUnknownSubmission } from "@evergreen/video/web";

import { client } from "../api.js";
import { asCommand, asCurl, asPython } from "../code.js";
import { bytes } from "../format.js";
import { modelOf } from "../jobs.js";
import { CopyButton, Fact, Icon, Picture } from "../parts.js";

export function Files({ job }: { readonly job: Job }) {
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

export function Request({ job }: { readonly job: Job }) {
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
