// Builds the page into the Python package. The same sources give the same bytes.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = process.argv[2] ?? join(here, "../satimnet/builder/explorer/page");
await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: ["src/explorer.ts", "src/explorer.css"],
  outdir: out,
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "iife",
  target: ["es2022"],
  legalComments: "none",
  logLevel: "warning",
});
for (const name of ["index.html", "land.txt"]) {
  await copyFile(join(here, "src", name), join(out, name));
}
