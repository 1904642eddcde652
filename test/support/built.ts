import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { packageRoot } from "../../clusters/node/images.ts";

const SOURCES = "core protos identity registry kube transport gateway mirror proxy control drills clusters cli".split(
  " ",
);

/** When the newest file that the build reads was written. */
function newestSourceMs(root: string): number {
  const files = SOURCES.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/\.(test|contract)\.ts$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return Math.max(...[...files, join(root, "tsconfig.build.json")].map((file) => statSync(file).mtimeMs));
}

/** Before all: the tests run what is in dist/, which must be what the source says. */
export function mochaGlobalSetup(): void {
  const root = packageRoot();
  const built = join(root, "dist", ".tsbuildinfo");
  if (existsSync(built) && statSync(built).mtimeMs > newestSourceMs(root)) return;
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const build = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, encoding: "utf8" });
  if (build.status !== 0) throw new Error(`Cannot test dist/: it is stale and the build fails.\n${build.stdout}`);
}
