/**
 * Asks for a job's status and waits for it, over TLS with a certificate of its own and a token.
 *
 *     node secure.js HOST:PORT FOLDER TOKEN      (FOLDER holds root, chain and key, PEM)
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { WireClient, CallError } from "@evergreen/video";

const [target = "", folder = "", token = ""] = process.argv.slice(2);
const [ca, cert, key] = await Promise.all(["root", "chain", "key"].map((name) => readFile(join(folder, name))));
if (!ca || !cert || !key) throw new Error("a file is missing");
const stranger = new WireClient(target, { tls: { ca }, reconnect: { random: () => 0 } });
const known = new WireClient(target, { tls: { ca, cert, key }, token });
const refused = await stranger.status("job-1").catch((error: unknown) => error);
if (!(refused instanceof CallError)) throw new Error("who has no certificate was let in");
console.log(refused.name, (await known.status("job-1")).jobId, (await known.wait("job-1")).revision);
