/** One endpoint: how it is, what one may do about it, and its deliveries. */
import { type Webhook, WebhookState as State } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";

import { client, said } from "../api.js";
import { ago, date, day, number } from "../format.js";
import { Confirm, Dialog, Fact, Icon, tell } from "../parts.js";
import { go, to } from "../router.js";
import { eventsOf, projectsOf, stateOf } from "../webhooks.js";
import { Deliveries } from "./deliveries.js";
import { SecretDialog } from "./secret.js";

const OVERLAPS: Readonly<Record<string, string>> = { "86400": "a day", "3600": "an hour", "604800": "7 days", "0": "no time: it is known to others" };

/** Asks how long the secret before stays good. */
function RotateDialog({ onYes, onNo }: { readonly onYes: (overlapMs: number) => void; readonly onNo: () => void }) {
  const seconds = useSignal("86400");
  return (
    <Dialog title="Give it a new secret?" onClose={onNo}>
      <div class="stack script">
        <p class="say">Until the receiver has the new secret, requests are signed with both.</p>
        <label class="field">
          <span>The secret before stays good for</span>
          <select class="in" value={seconds.value} onChange={(event) => (seconds.value = event.currentTarget.value)}>
            {["86400", "3600", "604800", "0"].map((value) => (
              <option key={value} value={value}>
                {OVERLAPS[value]}
              </option>
            ))}
          </select>
        </label>
      </div>
      <footer>
        <div class="end">
          <button class="btn" type="button" onClick={onNo}>
            Keep as it is
          </button>
          <button class="btn primary" type="button" onClick={() => onYes(Number(seconds.value) * 1000)}>
            Make a new secret
          </button>
        </div>
      </footer>
    </Dialog>
  );
}

function Facts({ webhook }: { readonly webhook: Webhook }) {
  const [last, failing, old] = [webhook.lastAttemptTime, webhook.failingSinceTime, webhook.oldSecretExpireTime].map(date);
  const stale = old !== undefined && old.getTime() > Date.now();
  return (
    <dl class="facts">
      {webhook.switchedOffReason && <Fact name="Switched off">{webhook.switchedOffReason}</Fact>}
      {failing && <Fact name="Failing since">{`${day(failing)}, ${ago(failing)}`}</Fact>}
      {last && (
        <Fact name="Last answer">
          {webhook.lastStatus === 0 ? "none" : webhook.lastStatus}
          {webhook.lastError && `: ${webhook.lastError}`}, {ago(last)}
        </Fact>
      )}
      <Fact name="Hears of">
        {eventsOf(webhook)}, of {projectsOf(webhook)}
      </Fact>
      <Fact name="Secret">
        {`its ${number(webhook.secretGeneration)}${["th", "st", "nd", "rd"][webhook.secretGeneration] ?? "th"}`}
        {stale && `; the one before is good until ${day(old)}`}
      </Fact>
      <Fact name="Id">
        <span class="mono">{webhook.webhookId}</span>
      </Fact>
    </dl>
  );
}

export function WebhookDetail({ webhook, again }: { readonly webhook: Webhook; readonly again: () => void }) {
  const { webhookId, state } = webhook;
  const busy = useSignal("");
  const tested = useSignal<{ readonly ok: boolean; readonly text: string } | undefined>(undefined);
  const asking = useSignal<"" | "rotate" | "delete">("");
  const secret = useSignal<{ readonly text: string; readonly until: string } | undefined>(undefined);
  const fault = useSignal("");
  const act = async (name: string, work: () => Promise<void>) => {
    asking.value = "";
    if (busy.value) return;
    busy.value = name;
    fault.value = "";
    await work().catch((error: unknown) => (fault.value = said(error)));
    busy.value = "";
    again();
  };
  const test = () =>
    act("test", async () => {
      tested.value = undefined;
      const told = await client.webhooks.test(webhookId);
      const status = told.status === 0 ? "No answer" : `Answered ${told.status}`;
      tested.value = { ok: told.succeeded, text: `${status} in ${number(told.milliseconds)} ms${told.error && `: ${told.error}`}${told.answer && ` — ${told.answer.slice(0, 200)}`}` };
    });
  const turn = (to: State) =>
    act("turn", async () => {
      await client.webhooks.update({ webhookId, state: to });
      tell(to === State.PAUSED ? "It is told nothing until it is resumed" : "It hears of what happens from now on");
    });
  const rotate = (overlapMs: number) =>
    act("rotate", async () => {
      const { webhook: rotated, secret: text } = await client.webhooks.rotateSecret({ webhookId, overlapMs });
      const until = date(rotated?.oldSecretExpireTime);
      secret.value = { text, until: overlapMs > 0 && until ? `Both are used until ${day(until)}.` : "The one before signs nothing more." };
    });
  const remove = () =>
    act("delete", async () => {
      await client.webhooks.delete(webhookId);
      tell("It is deleted");
      go(to(["webhooks"]));
    });
  const { tone, word, icon } = stateOf(webhook);
  const running = state === State.ACTIVE;
  return (
    <>
      <section class="card stack" aria-label="The chosen endpoint">
        <div class="bar">
          <span class={`state pill ${tone}`}>
            <Icon name={icon} />
            {word}
          </span>
          <div class="end acts">
            <button class="btn" type="button" disabled={busy.value !== ""} onClick={() => void test()}>
              <Icon name="up" />
              {busy.value === "test" ? "Sending…" : "Send a test"}
            </button>
            <button class="btn" type="button" disabled={busy.value !== ""} onClick={() => void turn(running ? State.PAUSED : State.ACTIVE)}>
              {running ? "Pause" : state === State.PAUSED ? "Resume" : "Switch on"}
            </button>
            <a class="btn" href={to(["webhooks", webhookId], { edit: "it" })}>
              Change
            </a>
            <button class="btn" type="button" disabled={busy.value !== ""} onClick={() => (asking.value = "rotate")}>
              New secret
            </button>
            <button class="btn danger" type="button" disabled={busy.value !== ""} onClick={() => (asking.value = "delete")}>
              Delete
            </button>
          </div>
        </div>
        {(tested.value || fault.value) && (
          <p class={`state told ${tested.value?.ok && !fault.value ? "ok" : "bad"}`} role={fault.value ? "alert" : "status"}>
            <Icon name={tested.value?.ok && !fault.value ? "check" : "alert"} />
            {fault.value || tested.value?.text}
          </p>
        )}
        <Facts webhook={webhook} />
      </section>
      <Deliveries webhook={webhook} />
      {asking.value === "rotate" && <RotateDialog onYes={(overlapMs) => void rotate(overlapMs)} onNo={() => (asking.value = "")} />}
      {asking.value === "delete" && (
        <Confirm
          title="Delete the endpoint?"
          say={
            <>
              <b>{webhook.url}</b> is told nothing more, and what was sent to it is forgotten. Its secret cannot be had again.
            </>
          }
          act="Delete it"
          onYes={() => void remove()}
          onNo={() => (asking.value = "")}
        />
      )}
      {secret.value && <SecretDialog title="The new secret" secret={secret.value.text} until={secret.value.until} onClose={() => (secret.value = undefined)} />}
    </>
  );
}
