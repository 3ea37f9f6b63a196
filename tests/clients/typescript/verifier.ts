/** `node verifier.js FILE`: what the official package and `verify` make of requests that a receiver recorded, a line each. */
import { readFileSync } from "node:fs";

import { verify } from "@evergreen/video/webhooks";
import { Webhook } from "standardwebhooks";

interface Recorded {
  readonly body: string;
  readonly headers: Record<string, string>;
  readonly secret: string;
}

for (const { body, headers, secret } of JSON.parse(readFileSync(process.argv[2]!, "utf8")) as Recorded[]) {
  let official = true;
  try {
    new Webhook(secret).verify(body, headers);
  } catch {
    official = false;
  }
  const event = await verify(body, headers, secret).catch(() => undefined);
  console.log(JSON.stringify([official, event === undefined ? "" : `${event.type} ${event.job?.jobId ?? ""}`]));
}
