/** Reads what the gateway says of a request of plain HTTP that failed: `application/problem+json`. */
import { Code, ConnectError } from "@connectrpc/connect";

import type { CallError } from "../call-errors.js";
import { toldError } from "../status.js";

interface Problem {
  readonly code?: string;
  readonly reason?: string;
  readonly detail?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly errors?: readonly { readonly field: string; readonly detail: string }[];
}

/** Returns the typed error of an answer that is no success. */
export async function problemError(response: Response): Promise<CallError> {
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json") ?? false;
  const problem = isProblem ? ((await response.json()) as Problem) : {};
  return errorOf(problem, response.status, Number(response.headers.get("retry-after") ?? 0));
}

/** Returns the typed error of a problem, such as one in a frame of a socket. */
export function errorOf(problem: Problem, status = 0, retrySeconds = 0): CallError {
  const code = codeOf(problem.code) ?? (status >= 502 && status <= 504 ? Code.Unavailable : Code.Unknown);
  return toldError(new ConnectError(problem.detail ?? `HTTP ${status}`, code), {
    code,
    reason: problem.reason ?? "",
    metadata: problem.metadata ?? {},
    violations: (problem.errors ?? []).map(({ field, detail }) => ({ field, description: detail })),
    retryAfterMs: retrySeconds > 0 ? retrySeconds * 1000 : undefined,
  });
}

/** `INVALID_ARGUMENT` is `Code.InvalidArgument`, and so on. */
function codeOf(name = ""): Code | undefined {
  const wanted = name.replaceAll("_", "").toLowerCase().replace("cancelled", "canceled");
  const found = Object.entries(Code).find(([key, value]) => typeof value === "number" && key.toLowerCase() === wanted);
  return found?.[1] as Code | undefined;
}
