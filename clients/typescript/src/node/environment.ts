/** What the client reads from the environment of its process: where the service is, and how to reach it. */
import { readFileSync } from "node:fs";

import type { Token } from "../endpoint.js";
import type { Endpoint, TlsOptions } from "./transport.js";

const DEFAULT_TARGET = "127.0.0.1:50051";
const YES = ["1", "true", "yes", "on", "y", "t"];
const NO = ["", "0", "false", "no", "off", "n", "f"];

/**
 * Returns what EVERGREEN_ENDPOINT, EVERGREEN_TOKEN or EVERGREEN_TOKEN_FILE, and EVERGREEN_TLS, _TLS_CA, _TLS_CLIENT_CERT and
 * _TLS_CLIENT_KEY say, but for what is given. Throws TypeError for what makes no sense, and the errors of reading files.
 */
export function fromEnvironment(
  target: string | undefined,
  given: Endpoint,
  environ: Readonly<Record<string, string | undefined>>,
): { readonly target: string; readonly endpoint: Endpoint } {
  const token = given.token ?? tokenOf(environ);
  const tls = given.tls ?? tlsOf(environ);
  return {
    target: target ?? (environ["EVERGREEN_ENDPOINT"] || DEFAULT_TARGET),
    endpoint: { ...given, ...(token !== undefined && { token }), ...(tls !== undefined && { tls }) },
  };
}

function tokenOf(environ: Readonly<Record<string, string | undefined>>): Token | undefined {
  const { EVERGREEN_TOKEN: token, EVERGREEN_TOKEN_FILE: path } = environ;
  if (token || !path) return token || undefined;
  // Read again for each call, so that it may be renewed; and now, so that a wrong path is told at once.
  const read = () => readFileSync(path, "utf8").split("\n", 1)[0]!.trim();
  read();
  return read;
}

function tlsOf(environ: Readonly<Record<string, string | undefined>>): boolean | TlsOptions | undefined {
  const said = (environ["EVERGREEN_TLS"] ?? "").trim().toLowerCase();
  if (![...YES, ...NO].includes(said)) throw new TypeError(`EVERGREEN_TLS must be 1 or 0, not ${JSON.stringify(said)}`);
  const { EVERGREEN_TLS_CA: ca, EVERGREEN_TLS_CLIENT_CERT: cert, EVERGREEN_TLS_CLIENT_KEY: key } = environ;
  if (!ca && !cert && !key) return YES.includes(said) || undefined;
  if (!cert !== !key) throw new TypeError("EVERGREEN_TLS_CLIENT_CERT and EVERGREEN_TLS_CLIENT_KEY belong together: give both");
  return {
    ...(ca && { ca: readFileSync(ca) }),
    ...(cert && { cert: readFileSync(cert) }),
    ...(key && { key: readFileSync(key) }),
  };
}
