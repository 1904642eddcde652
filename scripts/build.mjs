// npm run build: dist/ by tsc, and what `mesh proxy` loads as a bundle in dist/bundle/ (docs/decisions/0022).
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);

const outdir = `${root}/dist/bundle`;
rmSync(outdir, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: { proxy: "cli/sidecar.ts" },
  outdir,
  chunkNames: "part-[hash]",
  bundle: true,
  // What is imported when it is needed stays a file of its own.
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  minify: true,
  // Functions keep their names in stack traces; lines are in the maps, which Node reads with --enable-source-maps only.
  minifyIdentifiers: false,
  sourcemap: "linked",
  sourcesContent: false,
  legalComments: "none",
  // Has native modules, which it finds beside itself.
  external: ["koffi"],
  // CommonJS in a bundle of ECMAScript modules finds Node's own modules by this.
  banner: { js: 'import{createRequire}from"node:module";const require=createRequire(import.meta.url);' },
  logLevel: "warning",
});
