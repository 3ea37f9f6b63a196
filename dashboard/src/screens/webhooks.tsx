/** Webhooks: who is told, whether it works, and what was sent to the one that is chosen. */
import { Right, type Webhook } from "@evergreen/video/web";

import { may } from "../api.js";
import { number } from "../format.js";
import { useLoad } from "../loading.js";
import { Empty, Failed, Icon, Skeleton } from "../parts.js";
import { go, place, to } from "../router.js";
import { project, useTitle } from "../shell.js";
import { eventsOf, projectsOf, readWebhooks, stateOf } from "../webhooks.js";
import { WebhookDetail } from "./webhook.js";
import { WebhookDialog } from "./webhook-form.js";

const EVERY_MS = 5000;

export function WebhookState({ webhook }: { readonly webhook: Webhook }) {
  const { word, tone, icon } = stateOf(webhook);
  return (
    <span class={`state ${tone}`}>
      <Icon name={icon} />
      {word}
    </span>
  );
}

function Endpoints({ webhooks, chosen }: { readonly webhooks: readonly Webhook[]; readonly chosen: string }) {
  return (
    <section class="card">
      <h2>Endpoints</h2>
      <table class="data">
        <thead>
          <tr>
            <th>Address</th>
            <th class="hide-s">Events</th>
            <th class="right hide-s">Pending</th>
            <th class="right">State</th>
          </tr>
        </thead>
        <tbody>
          {webhooks.map((webhook) => (
            <tr key={webhook.webhookId} class={webhook.webhookId === chosen ? "at" : ""}>
              <td class="address">
                <a href={to(["webhooks", webhook.webhookId])} aria-current={webhook.webhookId === chosen ? "true" : undefined}>
                  {webhook.url}
                </a>
                <span class="faint">{[projectsOf(webhook), webhook.description].filter(Boolean).join(" · ")}</span>
              </td>
              <td class="hide-s">{eventsOf(webhook)}</td>
              <td class="right num hide-s">{webhook.pendingDeliveries >= 1000 ? "1,000 or more" : number(webhook.pendingDeliveries)}</td>
              <td class="right">
                <WebhookState webhook={webhook} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function WebhooksScreen({ chosen }: { readonly chosen: string }) {
  const allowed = may(Right.ADMIN);
  const { value, fault, again } = useLoad("webhooks", async (signal) => (allowed ? readWebhooks(signal) : []), { everyMs: EVERY_MS });
  useTitle(() => "Webhooks");
  const found = value.value;
  const listed = found ?? [];
  const shown = listed.find(({ webhookId }) => webhookId === chosen) ?? (chosen === "" ? listed[0] : undefined);
  const { query } = place.value;
  const editing = query.has("edit") ? shown : undefined;
  return (
    <>
      <header class="top">
        <h1>Webhooks</h1>
        <div class="end">
          {allowed && (
            <a class="btn primary" href={to(["webhooks"], { add: "new" })}>
              <Icon name="plus" />
              Add endpoint
            </a>
          )}
        </div>
      </header>
      {!allowed && <Failed fault={{ denied: true, text: "Webhooks are for tokens with the right admin: they send what happens in your projects to other machines." }} />}
      {fault.value && <Failed fault={fault.value} what="The endpoints could not be read" again={again} />}
      {allowed && !fault.value && found === undefined && <Skeleton rows={3} />}
      {allowed && found !== undefined && listed.length === 0 && (
        <Empty icon="hook" title="Nobody is told yet">
          <p class="dim">An endpoint is an address that hears of what happens to jobs and films, by signed requests.</p>
        </Empty>
      )}
      <div class="stack">
        {listed.length > 0 && <Endpoints webhooks={listed} chosen={shown?.webhookId ?? ""} />}
        {found !== undefined && chosen !== "" && shown === undefined && allowed && <Failed fault={{ missing: true, text: "There is no such webhook, or no longer." }} />}
        {shown && <WebhookDetail key={shown.webhookId} webhook={shown} again={again} />}
      </div>
      {(query.has("add") || editing) && (
        <WebhookDialog
          key={location.hash}
          webhook={editing}
          projectId={project.value}
          onDone={(webhookId) => {
            again();
            go(to(webhookId === "" ? ["webhooks"] : ["webhooks", webhookId]));
          }}
        />
      )}
    </>
  );
}
