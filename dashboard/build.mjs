// Builds the dashboard into a folder: node dashboard/build.mjs FOLDER. One script, one stylesheet and one font, named by their contents.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { buildSync } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2];

// Only what was built before: other things of the server's lie here too.
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (name === "index.html" || /-[0-9A-Z]{8}\.\w+$/.test(name)) rmSync(join(folder, name));
const { metafile } = buildSync({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx", style: "src/style.css" },
  outdir: join(process.cwd(), folder),
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
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
const named = (ending) => basename(Object.keys(metafile.outputs).find((path) => path.endsWith(ending)));
let page = readFileSync(join(here, "src/index.html"), "utf8").replace("app.js", named(".js")).replace("style.css", named(".css"));
for (const name of ["icon", "icon-hot"]) {
  const icon = readFileSync(join(here, `src/${name}.svg`));
  const hashed = `${name}-${createHash("sha256").update(icon).digest("hex").slice(0, 8).toUpperCase()}.svg`;
  writeFileSync(join(folder, hashed), icon);
  page = page.replaceAll(`/static/${name}.svg`, `/static/${hashed}`);
}
writeFileSync(join(folder, "index.html"), page);
