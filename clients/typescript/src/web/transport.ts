/** The transport of a page: Connect's own protocol over `fetch`, with the session's cookie or with a token. */
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

import { bearer, current, guardToken, type Token } from "../endpoint.js";

/** How a page reaches the gateway. */
export interface WebEndpoint {
  /** Sent with each call as `Authorization: Bearer …`. Absent: the cookie of the page's own session is. */
  readonly token?: Token;
  /** Sends the token even over an unencrypted connection to another machine. */
  readonly insecure?: boolean;
}

/** An open way to the gateway; `close` ends all that uses it. */
export interface WebConnection {
  readonly transport: Transport;
  readonly baseUrl: string;
  /** `fetch` of a path of the gateway's, with the token. */
  readonly get: (path: string, init?: RequestInit) => Promise<Response>;
  close(): void;
}

/** Prepares calls to the gateway at a URL, such as `https://evergreen.example`. Throws InsecureToken. */
export function connect(url: string, { token, insecure = false }: WebEndpoint): WebConnection {
  const { origin } = new URL(url);
  guardToken(new URL(url), token, insecure);
  const closing = new AbortController();
  const closable: typeof globalThis.fetch = (input, init) => {
    const signals = init?.signal ? [init.signal, closing.signal] : [closing.signal];
    return globalThis.fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };
  const transport = createConnectTransport({ baseUrl: origin, useBinaryFormat: true, interceptors: bearer(token), fetch: closable });
  const get = async (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    if (token !== undefined) headers.set("authorization", `Bearer ${await current(token)}`);
    return closable(`${origin}${path}`, { ...init, headers });
  };
  return { transport, baseUrl: origin, get, close: () => closing.abort() };
}
