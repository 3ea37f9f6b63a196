/** Loads what a screen shows, and keeps what came last while it is loaded anew. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { type Fault, faultOf } from "./api.js";

/** Loads on every change of `key`; an answer that comes too late is dropped. */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>): { readonly value: Signal<T | undefined>; readonly fault: Signal<Fault | undefined>; readonly again: () => void } {
  const value = useSignal<T | undefined>(undefined);
  const fault = useSignal<Fault | undefined>(undefined);
  const turn = useSignal(0);
  useEffect(() => {
    const controller = new AbortController();
    load(controller.signal).then(
      (found) => {
        if (controller.signal.aborted) return;
        value.value = found;
        fault.value = undefined;
      },
      (error: unknown) => {
        if (!controller.signal.aborted) fault.value = faultOf(error);
      },
    );
    return () => controller.abort();
  }, [key, turn.value]);
  return { value, fault, again: () => (turn.value += 1) };
}
