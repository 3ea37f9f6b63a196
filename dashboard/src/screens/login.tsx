/** Trades a token for the page's session. */
import { useSignal } from "@preact/signals";

import { logIn, said } from "../api.js";
import { Icon } from "../parts.js";
import { Brand, useTitle } from "../shell.js";

export function LoginScreen() {
  const token = useSignal("");
  const fault = useSignal("");
  const busy = useSignal(false);
  useTitle(() => "Log in");
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    fault.value = "";
    await logIn(token.value.trim()).catch((error: unknown) => (fault.value = said(error)));
    busy.value = false;
  };
  return (
    <main class="alone">
      <form class="card login" onSubmit={(event) => void submit(event)}>
        <Brand />
        <h1>Log in</h1>
        <label class="field">
          <span>Token</span>
          <input
            class="in mono"
            type="password"
            name="token"
            autocomplete="current-password"
            placeholder="evg_…"
            required
            autofocus
            value={token.value}
            aria-invalid={fault.value !== "" || undefined}
            aria-describedby="login-hint"
            onInput={(event) => (token.value = event.currentTarget.value)}
          />
          <span id="login-hint" class={fault.value ? "hint bad" : "hint"} role={fault.value ? "alert" : undefined}>
            {fault.value || "An operator makes one with `evergreen token`. Scripts of this page cannot read it afterwards."}
          </span>
        </label>
        <button class="btn primary" type="submit" disabled={busy.value}>
          {busy.value ? "Asking…" : "Log in"}
          <Icon name="chev" />
        </button>
      </form>
    </main>
  );
}
