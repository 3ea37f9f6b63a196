/** The form of an endpoint: what it hears of, faults at their fields, and its secret once. */
import { InvalidRequest, type Webhook } from "@evergreen/video/web";
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";

import { client, formId, said } from "../api.js";
import { Dialog, tell } from "../parts.js";
import { Secret } from "./secret.js";

interface Form {
  readonly url: string;
  readonly projects: string;
  readonly all: boolean;
  readonly events: string;
  readonly types: string;
  readonly labels: string;
  readonly description: string;
}

/** What is usually wanted, by the types that it stands for. */
const PRESETS: Readonly<Record<string, string>> = {
  "": "Every end, what needs attention, approvals",
  "video.needs_attention, image.needs_attention, audio.needs_attention, film.needs_attention, film.awaiting_approval": "Only what needs somebody",
  "*": "Everything",
  chosen: "Types that I name",
};

/** Which field of the form shows a fault of the request. */
const PLACES: Readonly<Record<string, keyof Form>> = {
  url: "url", "filter.project_ids": "projects", "filter.all_projects": "projects", filter: "projects", "filter.types": "types", "filter.labels": "labels", description: "description",
};

function split(text: string): string[] {
  return text.split(",").map((each) => each.trim()).filter(Boolean);
}

function formOf(webhook: Webhook | undefined, projectId: string): Form {
  const { projectIds = [projectId || "default"], allProjects = false, types = [], labels = {} } = webhook?.filter ?? {};
  const named = types.join(", ");
  const pairs = Object.entries(labels).map(([key, value]) => `${key}: ${value}`);
  const events = named in PRESETS ? named : "chosen";
  return { url: webhook?.url ?? "", projects: projectIds.join(", "), all: allProjects, events, types: named, labels: pairs.join(", "), description: webhook?.description ?? "" };
}

function fieldsOf(form: Form) {
  const pairs = split(form.labels).map((each) => each.split(":").map((part) => part.trim()));
  return {
    url: form.url.trim(),
    ...(form.all ? { allProjects: true } : { projectIds: split(form.projects) }),
    types: split(form.events === "chosen" ? form.types : form.events),
    labels: Object.fromEntries(pairs.map(([key = "", value = ""]) => [key, value])),
    description: form.description.trim(),
  };
}

function faultsOf(error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof InvalidRequest)) return { other: said(error) };
  const faults: Record<string, string> = {};
  for (const { field, description } of error.violations) {
    const at = PLACES[field.replace(/\[.*$/, "")] ?? "other";
    faults[at] ??= at === "other" ? `${field}: ${description}` : description;
  }
  return Object.keys(faults).length > 0 ? faults : { other: said(error) };
}

function Field({ name, fault, hint = "", children }: { readonly name: string; readonly fault: string | undefined; readonly hint?: string; readonly children: ComponentChildren }) {
  return (
    <label class="field">
      <span>{name}</span>
      {children}
      {(fault || hint) && (
        <span class={fault ? "hint bad" : "hint"} role={fault ? "alert" : undefined}>
          {fault || hint}
        </span>
      )}
    </label>
  );
}

/** Adds an endpoint, or changes one. `onDone` is called with its id, or with nothing if it came to nothing. */
export function WebhookDialog({ webhook, projectId, onDone }: { readonly webhook: Webhook | undefined; readonly projectId: string; readonly onDone: (webhookId: string) => void }) {
  const requestId = useMemo(formId, []);
  const form = useSignal(formOf(webhook, projectId));
  const faults = useSignal<Readonly<Record<string, string>>>({});
  const busy = useSignal(false);
  const made = useSignal<{ readonly id: string; readonly secret: string } | undefined>(undefined);
  const set = (name: keyof Form) => (event: { readonly currentTarget: { readonly value: string } }) => {
    form.value = { ...form.peek(), [name]: event.currentTarget.value };
  };
  const mark = (name: keyof Form) => (faults.value[name] ? { "aria-invalid": true as const } : {});
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    faults.value = {};
    try {
      if (webhook === undefined) {
        const { webhook: added, secret } = await client.webhooks.create({ ...fieldsOf(form.value), requestId });
        made.value = { id: added?.webhookId ?? "", secret };
      } else {
        await client.webhooks.update({ webhookId: webhook.webhookId, ...fieldsOf(form.value) });
        tell("It is changed");
        onDone(webhook.webhookId);
      }
    } catch (error) {
      faults.value = faultsOf(error);
    }
    busy.value = false;
  };
  const { value: told } = faults;
  if (made.value) {
    const { id, secret } = made.value;
    return (
      <Dialog key="made" title="The endpoint's secret" onClose={() => onDone(id)}>
        <Secret secret={secret} />
        <footer>
          <span class="dim">It hears of what happens from now on.</span>
          <div class="end">
            <button class="btn primary" type="button" onClick={() => onDone(id)}>
              I have it
            </button>
          </div>
        </footer>
      </Dialog>
    );
  }
  const { all, events } = form.value;
  return (
    <Dialog key="form" title={webhook ? "Change endpoint" : "Add endpoint"} onClose={() => made.peek() || onDone(webhook?.webhookId ?? "")}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <div class="stack script">
          <Field name="Address" fault={told["url"]} hint="https, with public addresses, unless the operator allows others">
            <input class="in mono" name="url" inputMode="url" autofocus placeholder="https://render.example.com/hooks/evergreen" value={form.value.url} onInput={set("url")} {...mark("url")} />
          </Field>
          <Field name="Projects" fault={told["projects"]}>
            <input class="in" name="projects" placeholder="film, trailer" disabled={all} value={all ? "all, those to come too" : form.value.projects} onInput={set("projects")} {...mark("projects")} />
          </Field>
          <label class="tick-of">
            <input class="tick" type="checkbox" name="all" checked={all} onChange={(event) => (form.value = { ...form.peek(), all: event.currentTarget.checked })} />
            All projects, which needs a token for all of them
          </label>
          <Field name="Events" fault={events === "chosen" ? undefined : told["types"]}>
            <select class="in" name="events" value={events} onChange={set("events")}>
              {Object.entries(PRESETS).map(([value, name]) => (
                <option key={value} value={value}>
                  {name}
                </option>
              ))}
            </select>
          </Field>
          {events === "chosen" && (
            <Field name="Types" fault={told["types"]} hint="such as video.succeeded, or film.* for all of films">
              <input class="in mono" name="types" placeholder="video.succeeded, film.*" value={form.value.types} onInput={set("types")} {...mark("types")} />
            </Field>
          )}
          <Field name="Only jobs with these labels" fault={told["labels"]} hint="films have none: with labels, it hears of no film">
            <input class="in" name="labels" placeholder="team: edit, take: 2" value={form.value.labels} onInput={set("labels")} {...mark("labels")} />
          </Field>
          <Field name="Description" fault={told["description"]}>
            <input class="in" name="description" value={form.value.description} onInput={set("description")} {...mark("description")} />
          </Field>
        </div>
        <footer>
          <span class={told["other"] ? "state bad" : "dim"} role={told["other"] ? "alert" : undefined}>
            {told["other"] ?? (webhook ? "" : "Its secret is shown next, once.")}
          </span>
          <div class="end">
            <button class="btn primary" type="submit" disabled={busy.value}>
              {busy.value ? "Asking…" : webhook ? "Keep the changes" : "Add it"}
            </button>
          </div>
        </footer>
      </form>
    </Dialog>
  );
}
