/** A secret, which is shown once. */
import { CopyButton, Dialog } from "../parts.js";

/** The secret with what to do about it, for within a dialog. */
export function Secret({ secret }: { readonly secret: string }) {
  return (
    <div class="stack script">
      <p class="say">
        The service keeps this secret nowhere, and shows it <b>this once</b>. Put it where the receiver can read it, and nowhere else.
      </p>
      <p class="secret">
        <code>{secret}</code>
        <CopyButton text={secret} what="the secret" />
      </p>
      <p class="dim">
        The receiver asks <code>verify</code> of either client for the event of a request, or any library for Standard Webhooks.
      </p>
    </div>
  );
}

export function SecretDialog({ title, secret, until, onClose }: { readonly title: string; readonly secret: string; readonly until: string; readonly onClose: () => void }) {
  return (
    <Dialog title={title} onClose={onClose}>
      <Secret secret={secret} />
      <footer>
        <span class="dim">{until}</span>
        <div class="end">
          <button class="btn primary" type="button" onClick={onClose}>
            I have it
          </button>
        </div>
      </footer>
    </Dialog>
  );
}
