/** The form of a new clip: its quote while one writes, faults at their fields, and one job for one click, however often it comes. */
import { MediaKind, MediaRole, type Model } from "@evergreen/video/web";
import { create } from "@bufbuild/protobuf";
import { GenerateVideoRequestSchema } from "@evergreen/video/v1/video";
import { useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";

import { client, formId } from "../api.js";
import { count, number } from "../format.js";
import { useLoad } from "../loading.js";
import { Dialog, Failed, Icon, tell } from "../parts.js";
import { go, place, to } from "../router.js";
import { useTitle } from "../shell.js";
import { put, recount } from "../store.js";
import { Code } from "./about.js";
import { fieldsOf, type Form, FRESH, type Told, toldBy, written } from "./clip-form.js";
import { type Frame, FrameField } from "./picture.js";

const QUOTE_MS = 300;
const TAKES = 20;

function Field({ name, fault, hint, children }: { readonly name: string; readonly fault: string | undefined; readonly hint?: string | undefined; readonly children: ComponentChildren }) {
  return (
    <label class="field">
      <span>{name}</span>
      {children}
      {(fault || hint) && <span class={fault ? "hint bad" : "hint num"}>{fault || hint}</span>}
    </label>
  );
}

export function ClipDialog({ projectId }: { readonly projectId: string }) {
  const { query } = place.peek();
  const id = useMemo(formId, []);
  const form = useSignal<Form>({ ...FRESH, sceneId: query.get("scene") ?? FRESH.sceneId });
  const frame = useSignal<Frame | undefined>(query.get("image") ? { sceneId: query.get("scene") ?? "", path: query.get("image") ?? "" } : undefined);
  const lastFrame = useSignal<Frame | undefined>(undefined);
  const told = useSignal<Told>({ quote: undefined, faults: {}, other: "" });
  const touched = useSignal(false);
  const busy = useSignal(false);
  const code = useSignal(false);
  useTitle(() => "New clip");
  const models = useLoad("models", (signal) => client.models({ kinds: [MediaKind.VIDEO], signal }));
  const set = (name: keyof Form) => (event: { readonly currentTarget: { readonly value: string } }) => {
    touched.value = true;
    form.value = { ...form.peek(), [name]: event.currentTarget.value, ...(/In$/.test(name) && { at: Date.now() }) };
  };

  useEffect(() => {
    const from = query.get("from");
    if (from === null) return;
    client.status(from).then((job) => {
      const { request } = job;
      if (request === undefined) return;
      for (const { role, source, sceneId } of request.media) {
        if (source.case === "asset") (role === MediaRole.LAST_FRAME ? lastFrame : frame).value = { sceneId: sceneId || job.sceneId, path: source.value };
      }
      touched.value = true;
      form.value = { ...form.peek(), sceneId: job.sceneId, prompt: request.promptText, model: request.model, ratio: request.ratio, seconds: String(request.durationSeconds ?? ""), most: String(request.maxCredits ?? ""), labels: Object.entries(request.labels).map(([key, value]) => `${key}: ${value}`).join(", ") };
    }, (error: unknown) => (told.value = toldBy(error)));
  }, []);

  const model = models.value.value?.find((each) => each.model === form.value.model);
  useEffect(() => {
    const found = models.value.value;
    if (found === undefined || form.peek().model) return;
    choose(found.find(({ model }) => model === "gen4.5") ?? found[0], { first: true });
  }, [models.value.value]);

  /** Takes a model; what does not fit it is chosen anew, but for what somebody has written while models were loaded. */
  function choose(next: Model | undefined, { first = false } = {}): void {
    if (next === undefined) return;
    const { ratio, seconds } = form.peek();
    const lengths = next.durationsSeconds.map(String);
    const keeps = lengths.length === 0 || lengths.includes(seconds) || (first && seconds !== "");
    const usual = lengths.includes("5") ? "5" : (lengths[0] ?? "");
    form.value = { ...form.peek(), model: next.model, ratio: next.ratios.includes(ratio) ? ratio : (next.ratios[0] ?? ""), seconds: keeps ? seconds : usual };
  }

  // The quote, 300 ms after the last key; an answer that something newer has overtaken is dropped.
  useSignalEffect(() => {
    const [asked, first, end] = [form.value, frame.value, lastFrame.value];
    // A form that nobody has begun is not wrong yet.
    if (asked.model === "" || (!touched.value && asked.prompt === "" && first === undefined)) return;
    const controller = new AbortController();
    const timer = setTimeout(() => {
      client.quote({ ...fieldsOf(projectId, asked, first, end), requestId: `${id}-1` }, { signal: controller.signal }).then(
        (quote) => (told.value = { quote, faults: {}, other: "" }),
        (error: unknown) => {
          if (!controller.signal.aborted) told.value = toldBy(error);
        },
      );
    }, QUOTE_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  });

  const close = () => {
    if (place.peek().parts[2] === "new") go(to(["p", projectId, "jobs"]));
  };
  const takes = Math.min(Math.max(Math.trunc(written(form.value.takes) || 1), 1), TAKES);
  const submit = async (event: Event) => {
    event.preventDefault();
    touched.value = true;
    if (busy.value) return;
    busy.value = true;
    try {
      let last = "";
      for (let take = 1; take <= takes; take += 1) {
        const job = await client.generate({ ...fieldsOf(projectId, form.value, frame.value, lastFrame.value), requestId: `${id}-${take}` });
        put(job);
        last = job.jobId;
      }
      recount(0);
      tell(`${count(takes, "clip")} on the way`);
      go(takes === 1 ? to(["p", projectId, "jobs", last]) : to(["p", projectId, "jobs"]));
    } catch (error) {
      told.value = toldBy(error);
    }
    busy.value = false;
  };

  const { faults, quote, other } = told.value;
  const shown = (name: string) => (touched.value || name === "most" ? faults[name] : undefined);
  const mark = (name: string) => (shown(name) ? { "aria-invalid": true as const } : {});
  const lengths = model?.durationsSeconds ?? [];
  const request = create(GenerateVideoRequestSchema, { ...(fieldsOf(projectId, form.value, frame.value, lastFrame.value) as object), requestId: `${id}-1`, seed: undefined, startBy: undefined, finishBy: undefined } as never);
  return (
    <Dialog title="New clip" side={<span class="dim">{projectId}</span>} onClose={close}>
      {models.fault.value ? (
        <Failed fault={models.fault.value} what="The models could not be read" again={models.again} />
      ) : (
        <form onSubmit={(event) => void submit(event)} noValidate aria-busy={models.value.value === undefined || undefined}>
          <div class="form">
            <div class="stack">
              <Field name="Prompt" fault={shown("prompt")} hint={model?.promptMaxUtf16 ? `${number(form.value.prompt.length)} of ${number(model.promptMaxUtf16)}` : undefined}>
                <textarea class="in" name="prompt" rows={4} autofocus placeholder="Wide shot of a fjord harbour at dusk, slow push in" value={form.value.prompt} onInput={set("prompt")} {...mark("prompt")} />
              </Field>
              <div class="three">
                <Field name="Model" fault={shown("model")}>
                  <select class="in" name="model" value={form.value.model} disabled={models.value.value === undefined} onChange={(event) => choose(models.value.value?.find((each) => each.model === event.currentTarget.value))} {...mark("model")}>
                    {models.value.value === undefined && <option value="">Loading…</option>}
                    {models.value.value?.map((each) => (
                      <option key={each.model}>{each.model}</option>
                    ))}
                  </select>
                </Field>
                <Field name="Shape" fault={shown("ratio")}>
                  <select class="in" name="ratio" value={form.value.ratio} onChange={set("ratio")} {...mark("ratio")}>
                    {(model?.ratios.length ?? 0) === 0 && <option value="">the model's own</option>}
                    {model?.ratios.map((each) => (
                      <option key={each}>{each}</option>
                    ))}
                  </select>
                </Field>
                <Field name="Seconds" fault={shown("seconds")}>
                  <input class="in num" name="seconds" inputMode="numeric" list="lengths" value={form.value.seconds} placeholder={lengths.length > 0 ? `${lengths[0]} to ${lengths.at(-1)}` : "the model's own"} onInput={set("seconds")} {...mark("seconds")} />
                </Field>
                <datalist id="lengths">
                  {lengths.map((each) => (
                    <option key={each} value={each} />
                  ))}
                </datalist>
              </div>
              <div class="three">
                <Field name="Takes" fault={undefined}>
                  <input class="in num" name="takes" inputMode="numeric" value={form.value.takes} onInput={set("takes")} />
                </Field>
                <Field name="At most, credits" fault={shown("most")}>
                  <input class="in num" name="most" inputMode="decimal" placeholder="no limit" value={form.value.most} onInput={set("most")} {...mark("most")} />
                </Field>
                <Field name="Scene" fault={shown("sceneId")}>
                  <input class="in" name="scene" value={form.value.sceneId} onInput={set("sceneId")} {...mark("sceneId")} />
                </Field>
              </div>
              <details>
                <summary>More: seed, attempts, priority, deadlines, labels</summary>
                <div class="three">
                  <Field name="Seed" fault={shown("seed")}>
                    <input class="in num" name="seed" inputMode="numeric" placeholder="random" value={form.value.seed} onInput={set("seed")} {...mark("seed")} />
                  </Field>
                  <Field name="Attempts" fault={shown("attempts")}>
                    <input class="in num" name="attempts" inputMode="numeric" placeholder="1" value={form.value.attempts} onInput={set("attempts")} {...mark("attempts")} />
                  </Field>
                  <Field name="Priority" fault={shown("priority")}>
                    <input class="in num" name="priority" inputMode="numeric" placeholder="0" value={form.value.priority} onInput={set("priority")} {...mark("priority")} />
                  </Field>
                </div>
                <div class="three">
                  <Field name="Start within, min" fault={shown("startIn")}>
                    <input class="in num" name="startIn" inputMode="decimal" placeholder="no deadline" value={form.value.startIn} onInput={set("startIn")} {...mark("startIn")} />
                  </Field>
                  <Field name="Finish within, min" fault={shown("finishIn")}>
                    <input class="in num" name="finishIn" inputMode="decimal" placeholder="no deadline" value={form.value.finishIn} onInput={set("finishIn")} {...mark("finishIn")} />
                  </Field>
                </div>
                <Field name="Labels" fault={shown("labels")}>
                  <input class="in" name="labels" placeholder="take: 2, shot: 03-b" value={form.value.labels} onInput={set("labels")} {...mark("labels")} />
                </Field>
              </details>
            </div>
            <div class="stack">
              <FrameField name="First frame" projectId={projectId} sceneId={form.value.sceneId.trim()} frame={frame} fault={shown("frame")} />
              {(lastFrame.value || (frame.value && model?.roles.includes(MediaRole.LAST_FRAME))) && (
                <FrameField name="Last frame" projectId={projectId} sceneId={form.value.sceneId.trim()} frame={lastFrame} fault={undefined} />
              )}
            </div>
          </div>
          {code.value && <Code request={request} />}
          <footer>
            <span class="quote" role="status">
              {quote !== undefined ? (
                <>
                  <b class="num">
                    {takes > 1 && `${takes} × `}
                    {number(quote)}
                  </b>{" "}
                  credits at most
                </>
              ) : (
                (touched.value && other) || "The price is said as soon as the request is whole."
              )}
            </span>
            <div class="end">
              <button class="btn hide-s" type="button" aria-pressed={code.value} onClick={() => (code.value = !code.value)}>
                <Icon name="copy" />
                As code
              </button>
              <button class="btn primary" type="submit" disabled={busy.value}>
                {busy.value ? "Asking…" : `Make ${takes === 1 ? "the clip" : `${takes} clips`}`}
              </button>
            </div>
          </footer>
        </form>
      )}
    </Dialog>
  );
}
