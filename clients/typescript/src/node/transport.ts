/** The client's transport: one HTTP/2 connection with keepalive, and with TLS and a token if they are given. */
import type { SecureClientSessionOptions } from "node:http2";

import type { DescMethodUnary, DescService } from "@bufbuild/protobuf";
import { EmptySchema, Int32ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { bearer, guardToken, type Token } from "../endpoint.js";
import { callError } from "../status.js";

/** TLS settings. Omitted settings have Node's own defaults. */
export interface TlsOptions {
  /** The certificates to trust instead of the public ones, PEM. */
  readonly ca?: string | Uint8Array;
  /** The client's own certificate, PEM, if the service requires one. */
  readonly cert?: string | Uint8Array;
  /** The key of `cert`, PEM. */
  readonly key?: string | Uint8Array;
  /** The name that the service's certificate must contain, if it differs from the host's. */
  readonly serverName?: string;
}

/** How to reach the service. */
export interface Endpoint {
  /** Encrypts the connection; `true` trusts the public certificates. */
  readonly tls?: boolean | TlsOptions;
  /** Sent with each call as `Authorization: Bearer …`. */
  readonly token?: Token;
  /** Sends the token even over an unencrypted connection to another machine. */
  readonly insecure?: boolean;
}

/** An open connection to the service; `close` ends it and all calls that use it. */
export interface Connection {
  readonly transport: Transport;
  /** Returns whether the standard health check says SERVING. Throws CallError. */
  healthy(timeoutMs: number): Promise<boolean>;
  close(): void;
}

// The service permits pings every 15 s and advises its clients to use twice that.
const PING_INTERVAL_MS = 30_000;
const PING_TIMEOUT_MS = 10_000;
// A page of jobs with long prompts and labels may exceed the usual 4 MiB.
const READ_MAX_BYTES = 16 * 1024 * 1024;
// Node's own window of 64 KiB makes a download wait for each acknowledgement.
const WINDOW_BYTES = 4 * 1024 * 1024;

// The standard health check, which is no part of the contract. Its request is empty, and its answer has an enum as field 1, which
// is on the wire what an Int32Value is.
const SERVING = 1;
const CHECK: DescMethodUnary<typeof EmptySchema, typeof Int32ValueSchema> = {
  kind: "rpc",
  name: "Check",
  localName: "check",
  parent: { kind: "service", typeName: "grpc.health.v1.Health" } as DescService,
  methodKind: "unary",
  input: EmptySchema,
  output: Int32ValueSchema,
  idempotency: undefined as never,
  deprecated: false,
  proto: undefined as never,
  toString: () => "grpc.health.v1.Health.Check",
};

/** Prepares the connection to `host:port`; the first call opens it. Throws InsecureToken, TypeError. */
export function connect(target: string, { tls = false, token, insecure = false }: Endpoint): Connection {
  checkTarget(target);
  const baseUrl = `${tls ? "https" : "http"}://${target}`;
  guardToken(new URL(baseUrl), token, insecure);
  const sessionManager = new Http2SessionManager(
    baseUrl,
    { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS },
    sessionOptions(tls),
  );
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    readMaxBytes: READ_MAX_BYTES,
    // Clips are already compressed.
    acceptCompression: [],
    interceptors: bearer(token),
  });
  const healthy = async (timeoutMs: number) => {
    try {
      const sent = await transport.unary(CHECK, undefined, timeoutMs, undefined, {});
      return sent.message.value === SERVING;
    } catch (failure) {
      throw callError(failure);
    }
  };
  return { transport, healthy, close: () => sessionManager.abort() };
}

function checkTarget(target: string): void {
  const [, port] = /^(?:\[[\da-f:.%]+\]|[^\s/:@[\]]+):(\d{1,5})$/i.exec(target) ?? [];
  if (port !== undefined && Number(port) >= 1 && Number(port) <= 65_535) return;
  const said = JSON.stringify(String(target).slice(0, 200));
  throw new TypeError(`the service's address must be HOST:PORT, such as 127.0.0.1:50051, not ${said}`);
}

function sessionOptions(tls: boolean | TlsOptions): SecureClientSessionOptions {
  const settings = { initialWindowSize: WINDOW_BYTES };
  if (typeof tls === "boolean") return { settings };
  const { serverName, ca, cert, key } = tls;
  return {
    settings,
    ...(ca !== undefined && { ca: bytes(ca) }),
    ...(cert !== undefined && { cert: bytes(cert) }),
    ...(key !== undefined && { key: bytes(key) }),
    ...(serverName !== undefined && { servername: serverName }),
  };
}

function bytes(pem: string | Uint8Array): string | Buffer {
  return typeof pem === "string" ? pem : Buffer.from(pem);
}
