import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../clusters/node/images.ts";

const SOURCES = "core protos identity registry kube transport gateway mirror proxy control drills clusters cli".split(
  " ",
);

/** What the build reads besides. */
const SETTINGS = ["tsconfig.build.json", "scripts/build.mjs", "package-lock.json"];
/** What it writes last of each of its two parts. */
const OUTPUTS = ["dist/.tsbuildinfo", "dist/bundle/proxy.js"];

/** When the newest file that the build reads was written. */
function newestSourceMs(root: string): number {
  const files = SOURCES.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/\.(test|contract)\.ts$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return Math.max(...[...files, ...SETTINGS.map((file) => join(root, file))].map((file) => statSync(file).mtimeMs));
}

/** Before all: the tests run what is in dist/, which must be what the source says. */
export function mochaGlobalSetup(): void {
  const root = packageRoot();
  const newestMs = newestSourceMs(root);
  const outputs = OUTPUTS.map((file) => join(root, file));
  if (outputs.every((file) => existsSync(file) && statSync(file).mtimeMs > newestMs)) return;
  const build = spawnSync(process.execPath, [join(root, "scripts", "build.mjs")], { cwd: root, encoding: "utf8" });
  if (build.status !== 0) {
    throw new Error(`Cannot test dist/: it is stale and the build fails.\n${build.stdout}${build.stderr}`);
  }
}
