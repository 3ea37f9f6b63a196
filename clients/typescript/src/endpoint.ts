/** What connections share: how a token is given, and where it may go. */
import type { Interceptor } from "@connectrpc/connect";

import { InsecureToken } from "./errors.js";

/** The token, or a function that returns the current one for each call, so that it can be replaced. */
export type Token = string | (() => string | Promise<string>);

const LOOPBACK = /^(localhost|\[::1\]|127(\.\d{1,3}){3})$/;

/** Throws InsecureToken if a token would cross a network unencrypted. */
export function guardToken(url: URL, token: Token | undefined, insecure: boolean): void {
  if (token === undefined || insecure || url.protocol === "https:" || LOOPBACK.test(url.hostname)) return;
  throw new InsecureToken(`the token would reach ${url.hostname} unencrypted: set tls, or insecure to send it so`);
}

/** Returns what adds the token to each call; nothing without a token. */
export function bearer(token: Token | undefined): Interceptor[] {
  if (token === undefined) return [];
  return [
    (next) => async (request) => {
      request.header.set("authorization", `Bearer ${await current(token)}`);
      return next(request);
    },
  ];
}

/** Returns the token of this moment. */
export async function current(token: Token): Promise<string> {
  return typeof token === "string" ? token : token();
}
