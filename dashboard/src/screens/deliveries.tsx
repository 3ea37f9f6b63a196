/** What was sent to an endpoint, newest first, with the last answer, and how to send it once more. */
import { type Delivery, DeliveryState, type Webhook } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";

import { client, said } from "../api.js";
import { clock, count, date, day, now, number, shortId, span } from "../format.js";
import { useLoad } from "../loading.js";
import { Failed, Icon, Skeleton, tell } from "../parts.js";
import { to } from "../router.js";

const PAGE = 50;
const EVERY_MS = 5000;
const KEPT_MS = 7 * 86_400_000;
const DAY_MS = 86_400_000;
const { PENDING, DELIVERED, GIVEN_UP } = DeliveryState;
const FILTERS = { all: [], pending: [PENDING], delivered: [DELIVERED], "given-up": [GIVEN_UP] } as const;
const NAMES: Readonly<Record<keyof typeof FILTERS, string>> = { all: "All", pending: "Pending", delivered: "Delivered", "given-up": "Given up" };

async function read(webhookId: string, states: readonly DeliveryState[], most: number, signal: AbortSignal): Promise<readonly Delivery[]> {
  const found: Delivery[] = [];
  for await (const delivery of client.webhooks.deliveries({ webhookId, states, pageSize: Math.min(most, 1000) }, { signal })) {
    found.push(delivery);
    if (found.length === most) break;
  }
  return found;
}

function Answer({ delivery }: { readonly delivery: Delivery }) {
  const { state, attempts, lastStatus, lastError, lastAnswer } = delivery;
  const [tone, icon] = state === DELIVERED ? ["ok", "check"] : state === GIVEN_UP ? ["bad", "x"] : attempts === 0 ? ["", "clock"] : ["warn", "alert"];
  const word = attempts === 0 ? "Not sent yet" : lastStatus === 0 ? "No answer" : String(lastStatus);
  const told = (
    <span class={`state ${tone}`}>
      <Icon name={icon} />
      {word}
    </span>
  );
  const more = [lastError, lastAnswer].filter(Boolean);
  if (more.length === 0) return told;
  return (
    <details class="answer">
      <summary>{told}</summary>
      {more.map((text, index) => (
        <pre key={index} tabIndex={0}>
          {text}
        </pre>
      ))}
    </details>
  );
}

function attemptOf({ state, attempts, nextAttemptTime }: Delivery): string {
  const next = date(nextAttemptTime);
  const wait = next && next.getTime() > now.value ? `again in ${span(next.getTime() - now.value)}` : "soon";
  if (state === PENDING) return attempts === 0 ? wait.replace("again ", "") : `${number(attempts)} · ${wait}`;
  return state === GIVEN_UP ? `gave up after ${number(attempts)}` : number(attempts);
}

function About({ delivery }: { readonly delivery: Delivery }) {
  const { projectId, jobId, filmId } = delivery;
  if (jobId) return <a class="link mono" href={to(["p", projectId, "jobs", jobId])}>{shortId(jobId)}</a>;
  if (filmId) return <a class="link" href={to(["p", projectId, "films", filmId])}>{filmId}</a>;
  return <span class="faint">–</span>;
}

export function Deliveries({ webhook }: { readonly webhook: Webhook }) {
  const { webhookId } = webhook;
  const filter = useSignal<keyof typeof FILTERS>("all");
  const most = useSignal(PAGE);
  const busy = useSignal(false);
  const fault = useSignal("");
  const listed = useLoad(`${filter.value} ${most.value}`, (signal) => read(webhookId, FILTERS[filter.value], most.value + 1, signal), { everyMs: EVERY_MS });
  const send = async (what: { readonly messageId: string } | { readonly givenUpSince: Date }) => {
    if (busy.value) return;
    busy.value = true;
    fault.value = "";
    try {
      const sent = await client.webhooks.redeliver({ webhookId, ...what });
      tell(`${count(Number(sent), "delivery", "deliveries")} on the way once more`);
    } catch (error) {
      fault.value = said(error);
    }
    busy.value = false;
    listed.again();
  };
  const found = listed.value.value;
  const shown = found?.slice(0, most.value) ?? [];
  return (
    <section class="card">
      <h2>
        Deliveries<span class="faint">kept for 7 days</span>
      </h2>
      <div class="bar">
        <label class="field">
          <span class="away">Show</span>
          <select class="in" value={filter.value} onChange={(event) => (filter.value = event.currentTarget.value as keyof typeof FILTERS)}>
            {Object.entries(NAMES).map(([value, name]) => (
              <option key={value} value={value}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <div class="end">
          <button class="btn" type="button" disabled={busy.value} onClick={() => void send({ givenUpSince: new Date(Date.now() - KEPT_MS) })}>
            <Icon name="again" />
            Send all that were given up
          </button>
        </div>
      </div>
      {fault.value && (
        <p class="state bad told" role="alert">
          <Icon name="alert" />
          {fault.value}
        </p>
      )}
      {listed.fault.value && <Failed fault={listed.fault.value} what="The deliveries could not be read" again={listed.again} />}
      {!listed.fault.value && found === undefined && <Skeleton rows={2} />}
      {found?.length === 0 && <p class="faint">{filter.value === "all" ? "Nothing was sent to it yet." : "None."}</p>}
      {shown.length > 0 && (
        <table class="data">
          <thead>
            <tr>
              <th>Time</th>
              <th>Event</th>
              <th class="hide-s">About</th>
              <th class="hide-m">webhook-id</th>
              <th>Answer</th>
              <th class="hide-s">Took</th>
              <th class="hide-s">Attempts</th>
              <th class="right">Send</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((delivery) => {
              const time = date(delivery.createTime) ?? new Date(0);
              return (
                <tr key={delivery.messageId}>
                  <td class="num">{now.value - time.getTime() < DAY_MS ? clock(time) : day(time)}</td>
                  <td>
                    <b>{delivery.type}</b>
                  </td>
                  <td class="hide-s">
                    <About delivery={delivery} />
                  </td>
                  <td class="mono hide-m">{shortId(delivery.messageId)}</td>
                  <td>
                    <Answer delivery={delivery} />
                  </td>
                  <td class="num hide-s">{delivery.attempts > 0 ? `${number(Math.round(delivery.lastMilliseconds))} ms` : "–"}</td>
                  <td class="hide-s">{attemptOf(delivery)}</td>
                  <td class="right">
                    <button class="btn plain" type="button" aria-label={`Send ${delivery.type} again`} disabled={busy.value} onClick={() => void send({ messageId: delivery.messageId })}>
                      <Icon name="again" />
                      <span class="hide-s">Again</span>
                    </button>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {found !== undefined && found.length > most.value && (
        <p class="after">
          <button class="btn" type="button" onClick={() => (most.value += PAGE)}>
            More
          </button>
        </p>
      )}
    </section>
  );
}
