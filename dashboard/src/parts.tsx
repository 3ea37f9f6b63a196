/** The small things that screens are made of. */
import type { Job } from "@evergreen/video/v1/video";
import { signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { client, type Fault } from "./api.js";
import { length } from "./format.js";
import { costOf, lengthOf, phaseOf, pictureOf } from "./jobs.js";

export function Icon({ name }: { readonly name: string }) {
  return (
    <svg class="icon" aria-hidden="true">
      <use href={`#${name}`} />
    </svg>
  );
}

/** A state is a shape, a word and a colour. */
export function State({ job, pill = false }: { readonly job: Job; readonly pill?: boolean }) {
  const { word, tone, icon } = phaseOf(job);
  return (
    <span class={`state ${tone} ${pill ? "pill" : ""}`}>
      <Icon name={icon} />
      {word}
    </span>
  );
}

/** A job's way in five steps. */
export function Steps({ job }: { readonly job: Job }) {
  const { tone, step, part } = phaseOf(job);
  const at = (index: number) => (index < step && tone !== "ok" ? "done" : index === step ? "at" : "");
  return (
    <div class={`steps ${tone}`} aria-hidden="true">
      {[0, 1, 2, 3, 4].map((index) => (
        <i key={index} class={at(index)}>
          {index === step && part !== undefined && <b style={{ transform: `scaleX(${part})` }} />}
        </i>
      ))}
    </div>
  );
}

export function Way({ job }: { readonly job: Job }) {
  return (
    <div class="way">
      <div class="line">
        <State job={job} />
        <span class="faint num">{phaseOf(job).note}</span>
      </div>
      <Steps job={job} />
    </div>
  );
}

export function Cost({ job }: { readonly job: Job }) {
  const { sum, how } = costOf(job);
  return (
    <div class="pay">
      <b class="num">{sum}</b>
      {how}
    </div>
  );
}

export function Picture({ projectId, sceneId, path, width = 320, alt = "" }: { readonly projectId: string; readonly sceneId: string; readonly path: string; readonly width?: number; readonly alt?: string }) {
  const broken = useSignal(false);
  if (broken.value) return <Icon name="image" />;
  const src = client.scenes.assetHref({ projectId, sceneId, path }, { width });
  return <img src={src} alt={alt} loading="lazy" onError={() => (broken.value = true)} />;
}

export function Thumb({ job }: { readonly job: Job }) {
  const picture = pictureOf(job);
  const seconds = lengthOf(job);
  if (picture === undefined) {
    return (
      <div class="thumb empty">
        <Icon name={job.outputs[0]?.contentType.startsWith("audio/") ? "music" : "film"} />
      </div>
    );
  }
  return (
    <div class={picture.made ? "thumb" : "thumb soft"}>
      <Picture projectId={job.projectId} sceneId={picture.sceneId} path={picture.path} />
      {picture.made && seconds !== undefined && (
        <>
          <span class="play">
            <Icon name="play" />
          </span>
          <span class="len">{length(seconds)}</span>
        </>
      )}
    </div>
  );
}

/** What keeps a screen, or `what` of it, from being shown. */
export function Failed({ fault, what = "That did not work", again }: { readonly fault: Fault; readonly what?: string; readonly again?: () => void }) {
  const final = fault.denied || fault.missing;
  return (
    <section class="card empty-state" role="alert">
      <Icon name="alert" />
      <h2>{fault.denied ? "Not allowed" : fault.missing ? "Not found" : what}</h2>
      <p class="dim">{fault.text}</p>
      {again && !final && (
        <button class="btn" type="button" onClick={again}>
          <Icon name="again" />
          Try again
        </button>
      )}
    </section>
  );
}

export function Empty({ icon, title, children }: { readonly icon: string; readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <section class="card empty-state">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** Grey places of what is to come, not before it has taken a while. */
export function Skeleton({ rows = 4 }: { readonly rows?: number }) {
  return (
    <ul class="jobs skeleton" aria-busy="true" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        <li class="job" key={index}>
          <div class="thumb" />
          <div class="what">
            <i />
            <i />
          </div>
          <div class="way">
            <i />
          </div>
        </li>
      ))}
    </ul>
  );
}

const told = signal("");
let telling: ReturnType<typeof setTimeout> | undefined;

/** Says something for a moment, at the bottom of the page and to readers of the screen. */
export function tell(text: string): void {
  told.value = text;
  clearTimeout(telling);
  telling = setTimeout(() => (told.value = ""), 6000);
}

export function Toast() {
  return (
    <div class="toast" role="status" data-on={told.value !== "" || undefined}>
      {told.value}
    </div>
  );
}

export async function copy(text: string, what: string): Promise<void> {
  await navigator.clipboard.writeText(text).then(() => tell(`${what} copied`), () => tell("The browser does not let this page copy"));
}

export function CopyButton({ text, what }: { readonly text: string; readonly what: string }) {
  return (
    <button class="copy" type="button" aria-label={`Copy ${what}`} onClick={() => void copy(text, what)}>
      <Icon name="copy" />
    </button>
  );
}

/** A dialog over the page; Escape and a click beside it close it, and focus goes back to where it was. */
export function Dialog({ title, side, onClose, children }: { readonly title: string; readonly side?: ComponentChildren; readonly onClose: () => void; readonly children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} aria-labelledby="dialog-title" onClose={onClose} onClick={(event) => event.target === ref.current && ref.current?.close()}>
      <header>
        <h1 id="dialog-title">{title}</h1>
        {side}
        <div class="end">
          <button class="btn plain" type="button" aria-label="Close" onClick={() => ref.current?.close()}>
            <Icon name="x" />
          </button>
        </div>
      </header>
      {children}
    </dialog>
  );
}

/** Asks once before something that cannot be undone. */
export function Confirm({ title, say, act, onYes, onNo }: { readonly title: string; readonly say: ComponentChildren; readonly act: string; readonly onYes: () => void; readonly onNo: () => void }) {
  return (
    <Dialog title={title} onClose={onNo}>
      <p class="say ask">{say}</p>
      <footer>
        <div class="end">
          <button class="btn" type="button" onClick={onNo}>
            Keep as it is
          </button>
          <button class="btn danger" type="button" onClick={onYes}>
            {act}
          </button>
        </div>
      </footer>
    </Dialog>
  );
}

export function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A part of a whole as a bar of segments, without a style. */
export function Slots({ used, most }: { readonly used: number; readonly most: number }) {
  const shown = Math.min(most, 20);
  const on = most > 0 ? Math.min(shown, Math.ceil((used / most) * shown)) : 0;
  return (
    <div class="slots" aria-hidden="true">
      {Array.from({ length: shown }, (_, index) => (
        <i key={index} class={index < on ? "on" : ""} />
      ))}
    </div>
  );
}
