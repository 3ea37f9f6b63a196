/** Loads what a screen shows, and keeps what came last while it is loaded anew. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { type Fault, faultOf } from "./api.js";

/**
 * Loads on every change of `key`, and with `everyMs` again that long after each answer, as long as somebody sees the page; an
 * answer that comes too late is dropped.
 */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>, { everyMs }: { readonly everyMs?: number } = {}): { readonly value: Signal<T | undefined>; readonly fault: Signal<Fault | undefined>; readonly again: () => void } {
  const value = useSignal<T | undefined>(undefined);
  const fault = useSignal<Fault | undefined>(undefined);
  const turn = useSignal(0);
  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const later = () => {
      if (everyMs !== undefined) timer = setTimeout(() => (document.hidden ? later() : (turn.value += 1)), everyMs);
    };
    load(controller.signal).then(
      (found) => {
        if (controller.signal.aborted) return;
        value.value = found;
        fault.value = undefined;
        later();
      },
      (error: unknown) => {
        if (controller.signal.aborted) return;
        fault.value = faultOf(error);
        later();
      },
    );
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [key, turn.value]);
  return { value, fault, again: () => (turn.value += 1) };
}
