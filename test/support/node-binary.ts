import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../clusters/node/images.ts";
import { run } from "./commands.ts";

const FETCH_MS = 60_000;

/**
 * The `node` binary of a version ("22", "24.20.0"), from npm's `node-<platform>-<arch>` package, which carries it without scripts.
 * Fetched once, into node_modules/.cache. Undefined, with the reason logged, where npm does not give it.
 */
export async function nodeBinary(version: string): Promise<string | undefined> {
  const name = `node-${process.platform}-${process.arch}`;
  const cache = join(packageRoot(), "node_modules", ".cache", "causeway");
  const home = join(cache, `node-${version}`);
  const binary = (at: string) =>
    join(at, "node_modules", name, "bin", process.platform === "win32" ? "node.exe" : "node");
  if (existsSync(binary(home))) return binary(home);
  const making = `${home}.${process.pid}`;
  mkdirSync(making, { recursive: true });
  writeFileSync(join(making, "package.json"), "{}\n");
  const flags = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--prefix", making];
  const { code, stderr } = await run("npm", ["install", ...flags, `${name}@${version}`], { limitMs: FETCH_MS }).catch(
    (error: Error) => ({ code: 1, stderr: error.message }),
  );
  if (code !== 0 || !existsSync(binary(making))) {
    console.log(`      npm does not give ${name}@${version}: ${stderr.trim().split("\n").at(-1) ?? ""}`);
    rmSync(making, { recursive: true, force: true });
    return undefined;
  }
  rmSync(home, { recursive: true, force: true });
  renameSync(making, home);
  return binary(home);
}
