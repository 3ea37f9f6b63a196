// Builds the dashboard into a folder: node dashboard/build.mjs FOLDER. Scripts, one stylesheet and one font, named by their contents: the
// page names those of the first load, which fetch the second.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2];

// Only what was built before: other things of the server's lie here too.
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (name === "index.html" || /-[0-9A-Z]{8}\.\w+$/.test(name)) rmSync(join(folder, name));
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx", style: "src/style.css" },
  outdir: join(process.cwd(), folder),
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  splitting: true,
  loader: { ".woff2": "file" },
  bundle: true,
  minify: true,
  metafile: true,
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
});
const built = (name) => Object.keys(metafile.outputs).find((path) => metafile.outputs[path].entryPoint === name);
const app = built("src/main.tsx");
// What the first script imports is asked for beside it, not after it.
const shared = metafile.outputs[app].imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => basename(path));
const preloads = shared.map((name) => `    <link rel="modulepreload" href="/static/${name}">\n`).join("");
let page = readFileSync(join(here, "src/index.html"), "utf8")
  .replace("app.js", basename(app))
  .replace("style.css", basename(built("src/style.css")))
  .replace("    <script", `${preloads}    <script`);
for (const name of ["icon", "icon-hot"]) {
  const icon = readFileSync(join(here, `src/${name}.svg`));
  const hashed = `${name}-${createHash("sha256").update(icon).digest("hex").slice(0, 8).toUpperCase()}.svg`;
  writeFileSync(join(folder, hashed), icon);
  page = page.replaceAll(`/static/${name}.svg`, `/static/${hashed}`);
}
writeFileSync(join(folder, "index.html"), page);
