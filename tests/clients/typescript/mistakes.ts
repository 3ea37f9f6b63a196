/**
 * Prints what each mistaken way of asking for the models is told.
 *
 *     node mistakes.js SECURED PLAIN FOLDER      (SECURED and PLAIN are HOST:PORT; FOLDER holds own and other, PEM)
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { type Endpoint, WireClient } from "@evergreen/video";

const [secured = "", plain = "", folder = ""] = process.argv.slice(2);
const ca = await readFile(join(folder, "own"));
const other = await readFile(join(folder, "other"));
const ways: readonly (readonly [string, Endpoint])[] = [
  [secured, {}],
  [plain, { tls: true }],
  [secured, { tls: true }],
  [secured, { tls: { ca: other } }],
  [secured, { tls: { ca, serverName: "elsewhere.example" } }],
];
for (const [target, endpoint] of ways) {
  const client = new WireClient(target, endpoint);
  console.log(await client.models().then(() => "answered", (error: unknown) => String((error as Error).message)));
  client.close();
}
