/** Statuses as the service makes them, put together byte by byte, so that no reader of them is trusted here. */
import { Code, ConnectError } from "@connectrpc/connect";

export interface Refusal {
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly { readonly field: string; readonly description: string }[];
  readonly retryAfterSeconds?: number;
}

/** Makes an error with the `google.rpc` details of a refusal. */
export function refusal(code: Code, { reason, metadata = {}, violations, retryAfterSeconds }: Refusal): ConnectError {
  const error = new ConnectError("as scripted", code);
  const detail = (type: string, value: Buffer) => error.details.push({ type: `google.rpc.${type}`, value });
  if (reason) {
    const entries = Object.entries(metadata).map((entry) => field(3, strings(...entry)));
    detail("ErrorInfo", Buffer.concat([strings(reason, "evergreen.v1"), ...entries]));
  }
  if (violations) {
    detail("BadRequest", Buffer.concat(violations.map((each) => field(1, strings(each.field, each.description)))));
  }
  if (retryAfterSeconds !== undefined) {
    const seconds = Math.trunc(retryAfterSeconds);
    const nanos = Math.round((retryAfterSeconds - seconds) * 1e9);
    detail("RetryInfo", field(1, Buffer.concat([Buffer.from([8]), varint(seconds), Buffer.from([16]), varint(nanos)])));
  }
  return error;
}

function strings(...values: string[]): Buffer {
  return Buffer.concat(values.map((value, index) => field(index + 1, Buffer.from(value))));
}

function field(number: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(value.length), value]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}
