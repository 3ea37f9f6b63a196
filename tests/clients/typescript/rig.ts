/** A real server over a real sandbox, each a process, and a proxy between it and the client. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

/** The repository, where the tests are started. */
export const ROOT = process.cwd();
export const ROCKET = join(ROOT, "tests/samples/rocket.jpg");
const EVERGREEN = [join(ROOT, ".venv/bin/python"), "-m", "evergreen_server"] as const;
const SPEED = "40";

/** A command that prints one line when it is ready; `line` is that. */
async function launch(args: readonly string[], env: NodeJS.ProcessEnv): Promise<{ child: ChildProcess; line: string }> {
  const [python, ...module] = EVERGREEN;
  const child = spawn(python, [...module, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  child.stderr?.on("data", (data: Buffer) => (log += data.toString()));
  for await (const line of createInterface({ input: child.stdout! })) return { child, line };
  throw new Error(`${args[0]} did not start: ${log}`);
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

/** Passes bytes on to the server of the moment, until it is told otherwise. */
export class Proxy {
  port = 0;
  /** Where new connections go; 0 refuses them. */
  target = 0;
  /** How long each piece of the server's bytes is held back. */
  delayMs = 0;
  /** After so many of the server's bytes a connection is cut, wherever that is. */
  cutAfter = Number.POSITIVE_INFINITY;
  /** How many connections are cut so; those after them last. */
  cuts = Number.POSITIVE_INFINITY;
  connections = 0;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #server: Server | undefined;

  async open(): Promise<void> {
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#pass(client));
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.port = (this.#server.address() as AddressInfo).port;
  }

  /** Cuts every connection at once. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Says to each client that no more will come, and goes on listening to it. */
  halfClose(): void {
    for (const [client] of this.#pairs) client.end();
  }

  close(): void {
    this.cut();
    this.#server?.close();
  }

  #pass(client: Socket): void {
    this.connections += 1;
    const server = connect({ port: this.target, host: "127.0.0.1", allowHalfOpen: true });
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    let passed = 0;
    for (const socket of pair) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#pairs.delete(pair);
        for (const each of pair) each.destroy();
      });
    }
    client.pipe(server);
    server.on("end", () => client.end());
    server.on("data", (data: Buffer) => {
      const pass = () => {
        if (!client.writable) return;
        const room = this.cutAfter - passed;
        passed += data.length;
        if (data.length <= room || this.cuts === 0) return void client.write(data);
        this.cuts -= 1;
        client.write(data.subarray(0, Math.max(room, 0)), () => client.destroy());
      };
      // Timers of one length fire in the order in which they were set.
      if (this.delayMs) setTimeout(pass, this.delayMs);
      else pass();
    });
  }
}

/** How a rig is built. */
export interface RigOptions {
  readonly http?: boolean;
  readonly speed?: string;
  readonly environ?: Readonly<Record<string, string>>;
}

/** The server, which can be killed and started again, its sandbox, which lives on, and the way to it. */
export class Rig {
  readonly proxy = new Proxy();
  /** The gateway's URL, the same after a restart; empty without one. */
  http = "";
  readonly #http: boolean;
  readonly #speed: string;
  readonly #environ: Readonly<Record<string, string>>;
  #folder = "";
  #url = "";
  #key = "";
  #sandbox: ChildProcess | undefined;
  #server: ChildProcess | undefined;

  /** Takes whether to serve HTTP too, simulated seconds per real one, and more variables of the server. */
  constructor({ http = false, speed = SPEED, environ = {} }: RigOptions = {}) {
    this.#http = http;
    this.#speed = speed;
    this.#environ = environ;
  }

  get address(): string {
    return `127.0.0.1:${this.proxy.port}`;
  }

  /** Asks the sandbox's control API. */
  async sandbox(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await fetch(`${this.#url}/sandbox/${path}`, {
      method,
      headers: { "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    const text = await answer.text();
    return text === "" ? undefined : JSON.parse(text);
  }

  async open(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "evergreen-ts-"));
    const args = ["sandbox", "--listen", "127.0.0.1:0", "--speed", this.#speed, "--render-scale", "0.1"];
    const { child, line } = await launch(args, process.env);
    this.#sandbox = child;
    const found = /on (\S+), key (\S+)/.exec(line);
    if (found === null) throw new Error(`not the address of a sandbox: ${line}`);
    [, this.#url = "", this.#key = ""] = found;
    await this.proxy.open();
    await this.start();
  }

  async start(): Promise<void> {
    const http = this.#http ? ["--http", this.http.replace("http://", "") || "127.0.0.1:0"] : [];
    const { child, line } = await launch(["serve", "--listen", "127.0.0.1:0", ...http], {
      ...process.env,
      ...this.#environ,
      EVERGREEN_DATA_DIR: resolve(this.#folder, "data"),
      EVERGREEN_PROVIDER_SPEED: this.#speed,
      RUNWAYML_BASE_URL: this.#url,
      RUNWAYML_API_SECRET: this.#key,
    });
    // A server whose log nobody reads stops when the pipe is full.
    child.stdout?.resume();
    this.#server = child;
    this.http = /HTTP on ([^\s,]+)/.exec(line)?.[1] ?? "";
    this.proxy.target = Number(/serves on \S+:(\d+)/.exec(line)?.[1]);
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.#server) await end(this.#server, signal);
  }

  async close(): Promise<void> {
    this.proxy.close();
    await this.stop("SIGKILL");
    if (this.#sandbox) await end(this.#sandbox, "SIGKILL");
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** A path of which the rig gets rid at its end. */
  path(name: string): string {
    return join(this.#folder, name);
  }
}
