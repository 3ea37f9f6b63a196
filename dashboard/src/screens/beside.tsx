/** What stands above and beside the list of jobs: figures, what happened, slots. */
import type { Job } from "@evergreen/video/v1/video";
import { type GetAccountResponse, JobState, Right } from "@evergreen/video/web";
import { type Signal } from "@preact/signals";

import { may } from "../api.js";
import { clock, date, now, number, span } from "../format.js";
import { modelOf, phaseOf, titleOf } from "../jobs.js";
import { Icon, Slots } from "../parts.js";
import { to } from "../router.js";
import { counted, LiveDot } from "../shell.js";
import { feed, find } from "../store.js";

const { QUEUED, RUNNING, NEEDS_ATTENTION, CANCELLING, SUCCEEDED, FAILED, EXPIRED } = JobState;

export function Tiles({ account, open }: { readonly account: GetAccountResponse | undefined; readonly open: readonly Signal<Job>[] }) {
  const jobs = open.map((each) => each.peek());
  const running = jobs.filter(({ state }) => state === RUNNING || state === CANCELLING);
  const waiting = jobs.filter(({ state }) => state === QUEUED);
  const unsure = jobs.filter(({ state }) => state === NEEDS_ATTENTION);
  const models = new Set(running.map(modelOf));
  const most = (account?.usage ?? []).filter(({ model }) => models.has(model)).reduce((sum, each) => sum + (each.maxConcurrent ?? 0), 0);
  const next = waiting.map((job) => date(job.estimatedStartTime)?.getTime() ?? 0).filter((time) => time > now.value).sort((a, b) => a - b)[0];
  const atStake = unsure.reduce((sum, job) => sum + (job.estimatedCredits ?? 0), 0);
  const ended = counted(SUCCEEDED) + counted(FAILED, EXPIRED);
  return (
    <section class="tiles" aria-label="Now" tabIndex={0}>
      <div class="tile">
        <h2>In flight</h2>
        <b class="num">
          {number(running.length)} {most > 0 && <small>of {number(most)} slots</small>}
        </b>
        {most > 0 ? <Slots used={running.length} most={most} /> : <span class="of">{running.length === 0 ? "nothing is being made" : "being made now"}</span>}
      </div>
      <div class="tile">
        <h2>Waiting</h2>
        <b class="num">{number(waiting.length)}</b>
        <span class="of">{next === undefined ? "in line for a slot" : `next in ≈ ${span(next - now.value)}`}</span>
      </div>
      <a class={unsure.length > 0 ? "tile hot" : "tile"} href={to(["attention"])}>
        <h2>Need you</h2>
        <b class="num">{number(unsure.length)}</b>
        <span class="of">{unsure.length > 0 ? `up to ${number(atStake)} credits unsure` : "nothing to decide"}</span>
      </a>
      <div class="tile">
        <h2>Credits</h2>
        <b class="num">{account ? number(account.creditBalance) : "–"}</b>
        <span class="of num">{account ? `${number(account.reservedCredits)} reserved` : may(Right.ADMIN) ? "not known now" : "the right admin sees them"}</span>
      </div>
      <div class="tile">
        <h2>Made</h2>
        <b class="num">
          {number(counted(SUCCEEDED))} <small>in all</small>
        </b>
        <span class="of num">{ended > 0 ? `${Math.round((counted(SUCCEEDED) / ended) * 100)} % of what was tried` : "nothing yet"}</span>
      </div>
    </section>
  );
}

export function Rail({ account, open }: { readonly account: GetAccountResponse | undefined; readonly open: readonly Signal<Job>[] }) {
  const jobs = open.map((each) => each.peek());
  const models = [...new Set(jobs.map(modelOf))].filter(Boolean).sort();
  return (
    <aside class="rail" aria-label="Beside the list">
      <section class="card">
        <h2>
          Activity
          <LiveDot />
        </h2>
        {feed.value.length === 0 && <p class="faint">What happens from now on stands here.</p>}
        <ul class="feed">
          {feed.value.slice(0, 8).map(({ revision, time, job }) => {
            const { word, tone, icon } = phaseOf(job);
            return (
              <li key={`${job.projectId}${revision}`}>
                <time>{clock(time)}</time>
                <span>
                  <span class={`state ${tone}`}>
                    <Icon name={icon} />
                    {word}
                  </span>
                  <span class="faint">
                    {job.sceneId} · {titleOf(find(job.jobId)?.value ?? job)}
                  </span>
                </span>
              </li>
            );
          })}
        </ul>
      </section>
      {models.length > 0 && (
        <section class="card">
          <h2>Slots by model</h2>
          <dl class="facts">
            {models.map((model) => {
              const most = account?.usage.find((each) => each.model === model)?.maxConcurrent;
              const busy = jobs.filter((job) => modelOf(job) === model && job.state === RUNNING).length;
              const waits = jobs.filter((job) => modelOf(job) === model && job.state === QUEUED).length;
              return (
                <div key={model}>
                  <dt>{model}</dt>
                  <dd class="num">
                    {number(busy)}
                    {most !== undefined && ` of ${number(most)}`}
                    {waits > 0 && ` · ${number(waits)} wait`}
                  </dd>
                </div>
              );
            })}
          </dl>
        </section>
      )}
    </aside>
  );
}
