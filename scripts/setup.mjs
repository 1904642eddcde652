// What `npm run demo` and `npm test` do first: packages, build, and Debian's programs where they can be had.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = new URL("..", import.meta.url).pathname;

function run(command, args, { quiet = true } = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8", stdio: quiet ? "pipe" : "inherit" });
  if (result.error) return { ok: false, output: result.error.message };
  return { ok: result.status === 0, output: `${result.stdout ?? ""}${result.stderr ?? ""}` };
}

function step(title, say, work) {
  const started = performance.now();
  const outcome = work();
  const took = `${((performance.now() - started) / 1000).toFixed(1)} s`;
  if (outcome.ok) say(`✔ ${title} (${took})`);
  else {
    console.error(`✘ ${title}\n${outcome.output.trim().split("\n").slice(-15).join("\n")}`);
    process.exit(1);
  }
}

/** npm ci, unless node_modules already is what the lock file says, or is another folder's: npm would empty that one. */
function packages(say) {
  const folder = lstatSync(join(root, "node_modules"), { throwIfNoEntry: false });
  if (folder?.isSymbolicLink()) return;
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const stamp = join(root, "node_modules", ".causeway-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  step("packages (npm ci)", say, () => run("npm", ["ci", "--ignore-scripts"]));
  writeFileSync(stamp, lock);
}

function newestSource() {
  const listed = run("git", ["ls-files", "-z", "--", "*.ts", "*.json", "*.proto", "scripts/build.mjs"]);
  if (!listed.ok) return Number.POSITIVE_INFINITY;
  const files = listed.output.split("\0").filter((f) => f !== "" && existsSync(join(root, f)));
  return Math.max(...files.map((f) => statSync(join(root, f)).mtimeMs));
}

/** tsc and the bundles, unless both are newer than every source. */
function build(say) {
  const newest = newestSource();
  const built = ["dist/.tsbuildinfo", "dist/bundle/proxy.js"].map((file) => join(root, file));
  if (built.every((file) => existsSync(file) && statSync(file).mtimeMs > newest)) return;
  step("build (tsc, esbuild)", say, () => run("npm", ["run", "--silent", "build"]));
}

// With the folders of administrators, which a user's $PATH may lack: HAProxy and nginx are there.
const onPath = (program) => run("sh", ["-c", `PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v ${program}`]).ok;

/**
 * Installs what is missing of `programs` (program -> Debian packages, separated by spaces) where apt-get and root are there; says what
 * goes without it otherwise.
 */
function debianPackages(programs, say) {
  const missing = Object.entries(programs).filter(([program]) => !onPath(program));
  if (missing.length === 0) return;
  const names = [...new Set(missing.flatMap(([, { from }]) => from.split(" ")))];
  if (onPath("apt-get") && process.getuid?.() === 0 && process.env.CAUSEWAY_NO_APT === undefined) {
    const started = performance.now();
    let installed = run("apt-get", ["install", "-y", "--no-install-recommends", ...names]);
    if (!installed.ok) {
      run("apt-get", ["update"]);
      installed = run("apt-get", ["install", "-y", "--no-install-recommends", ...names]);
    }
    if (installed.ok) {
      say(`✔ Debian packages: ${names.join(", ")} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
      return;
    }
  }
  for (const [program, { without }] of missing) if (!onPath(program)) say(`- no ${program}: ${without}`);
}

export function setUp(programs, say = console.log) {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) {
    console.error(`Cannot run on Node ${process.versions.node}: Causeway needs Node 20 or newer.`);
    process.exit(1);
  }
  packages(say);
  debianPackages(programs, say);
  build(say);
}

// By itself (`node scripts/setup.mjs`): packages and build only.
if (process.argv[1] === fileURLToPath(import.meta.url)) setUp({});
