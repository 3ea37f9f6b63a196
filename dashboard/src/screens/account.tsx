/** The provider's account, what projects have reserved and spent, and what models cost and have free. */
import { type GetAccountResponse, JobState, MediaKind, type Model, Right } from "@evergreen/video/web";

import { client, may } from "../api.js";
import { number } from "../format.js";
import { modelOf } from "../jobs.js";
import { useLoad } from "../loading.js";
import { Failed, Icon, Skeleton, Slots } from "../parts.js";
import { useTitle } from "../shell.js";
import { all, projects, projectsFault, recount } from "../store.js";

function price({ prices }: Model): string {
  const each = prices.map(({ creditsPerSecond }) => creditsPerSecond).filter((value) => value > 0);
  if (each.length === 0) return "unknown";
  const [low, high] = [Math.min(...each), Math.max(...each)];
  return low === high ? number(low) : `${number(low)}–${number(high)}`;
}

function Meter({ spent, reserved, most }: { readonly spent: number; readonly reserved: number; readonly most: number }) {
  const part = (value: number) => Math.min(100, (value / most) * 100);
  return (
    <div class="meter">
      <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
        <rect class="m1" width={part(spent)} height="10" />
        <rect class="m3" x={part(spent)} width={Math.min(part(reserved), 100 - part(spent))} height="10" />
      </svg>
    </div>
  );
}

function Projects() {
  const found = projects.value ?? [];
  if (projects.value === undefined) return projectsFault.value ? <Failed fault={projectsFault.value} what="The projects could not be read" again={() => recount(0)} /> : <Skeleton rows={2} />;
  const most = Math.max(1, ...found.map((each) => each.spentCredits + each.reservedCredits));
  return (
    <section class="card">
      <h2>
        Projects<span class="faint">credits</span>
      </h2>
      {found.length === 0 && <p class="faint">None yet.</p>}
      {found.length > 0 && (
        <table class="data">
          <thead>
            <tr>
              <th>Project</th>
              <th class="hide-s">Use</th>
              <th class="right">Spent</th>
              <th class="right">Reserved</th>
              <th class="right">Limit</th>
            </tr>
          </thead>
          <tbody>
            {found.map((each) => (
              <tr key={each.projectId}>
                <td>
                  <b>{each.projectId}</b>
                </td>
                <td class="hide-s use">
                  <Meter spent={each.spentCredits} reserved={each.reservedCredits} most={each.capCredits ?? most} />
                </td>
                <td class="right num">{number(each.spentCredits)}</td>
                <td class="right num">{number(each.reservedCredits)}</td>
                <td class="right num">{each.capCredits === undefined ? "none" : number(each.capCredits)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <div class="key">
        <span>
          <i class="k1" />
          spent
        </span>
        <span>
          <i class="k3" />
          reserved
        </span>
        <span>
          <i class="k4" />
          free
        </span>
      </div>
    </section>
  );
}

function Models({ account }: { readonly account: GetAccountResponse | undefined }) {
  const models = useLoad("models", (signal) => client.models({ kinds: [MediaKind.VIDEO], signal }));
  if (models.fault.value) return <Failed fault={models.fault.value} what="The models could not be read" again={models.again} />;
  if (models.value.value === undefined) return <Skeleton rows={3} />;
  const running = all.value.filter((each) => each.peek().state === JobState.RUNNING).map((each) => modelOf(each.peek()));
  return (
    <section class="card">
      <h2>
        Models<span class="faint hide-s">slots now, today, credits a second</span>
      </h2>
      <table class="data">
        <thead>
          <tr>
            <th>Model</th>
            <th class="hide-s">Use</th>
            <th class="right">In flight</th>
            <th class="right hide-s">Today</th>
            <th class="right">Price</th>
          </tr>
        </thead>
        <tbody>
          {models.value.value.map((model) => {
            const usage = account?.usage.find((each) => each.model === model.model);
            const busy = running.filter((each) => each === model.model).length;
            const most = usage?.maxConcurrent;
            return (
              <tr key={model.model}>
                <td>
                  <b>{model.model}</b>
                </td>
                <td class="hide-s use">{most !== undefined && <Slots used={busy} most={most} />}</td>
                <td class="right num nowrap">
                  {number(busy)}
                  {most !== undefined && ` of ${number(most)}`}
                </td>
                <td class="right num nowrap hide-s">
                  {usage ? number(usage.usedToday) : "–"}
                  {usage?.maxDaily !== undefined && ` of ${number(usage.maxDaily)}`}
                </td>
                <td class="right num nowrap">{price(model)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

export function AccountScreen() {
  const account = useLoad("account", async (signal) => (may(Right.ADMIN) ? client.account({}, { signal, timeoutMs: 10_000 }) : undefined));
  useTitle(() => "Account");
  const told = account.value.value;
  return (
    <>
      <header class="top">
        <h1>Account</h1>
        {told && <span class="dim">RunwayML, API {told.apiVersion}</span>}
        <div class="end">
          {may(Right.ADMIN) && (
            <button class="btn" type="button" onClick={account.again}>
              <Icon name="again" />
              Ask again
            </button>
          )}
        </div>
      </header>
      {account.fault.value && <Failed fault={account.fault.value} what="The provider's account could not be read" again={account.again} />}
      {may(Right.ADMIN) && !account.fault.value && told === undefined && (
        <section class="tiles skeleton" aria-busy="true" aria-label="Loading">
          {[0, 1, 2, 3].map((index) => (
            <div class="tile" key={index}>
              <i />
              <i />
            </div>
          ))}
        </section>
      )}
      {!may(Right.ADMIN) && <Failed fault={{ denied: true, text: "The balance and the service's sums are for tokens with the right admin on all projects. What your projects spent stands below." }} />}
      {told && (
        <section class="tiles" aria-label="Credits" tabIndex={0}>
          <div class="tile">
            <h2>Balance</h2>
            <b class="num">{number(told.creditBalance)}</b>
            <span class="of">credits at the provider</span>
          </div>
          <div class="tile">
            <h2>Reserved</h2>
            <b class="num">{number(told.reservedCredits)}</b>
            <span class="of">the most that unfinished jobs may cost</span>
          </div>
          <div class="tile">
            <h2>Spent here</h2>
            <b class="num">{number(told.spentCredits)}</b>
            <span class="of num">
              {number(told.spentConfirmedCredits)} confirmed · {number(told.spentUpperBoundCredits)} at most
            </span>
          </div>
          <div class="tile">
            <h2>Monthly limit</h2>
            <b class="num">{told.maxMonthlyCredits === undefined ? "none" : number(told.maxMonthlyCredits)}</b>
            <span class="of">credits in 30 days, by the tier</span>
          </div>
        </section>
      )}
      <div class="stack">
        <Projects />
        <Models account={told} />
      </div>
    </>
  );
}
