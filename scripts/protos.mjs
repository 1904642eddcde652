// Generates protos/gen from the .proto files: types, and tables of what a proxy says; with --check, fails where what is
// checked in is stale.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { tablesOf } from "./proto-tables.mjs";

const files = ["identity/v1/identity.proto", "federation/v1/federation.proto", "discovery/v1/discovery.proto"];
/** What `mesh proxy` asks of control. */
const tabled = ["causeway/identity/v1/identity.proto", "causeway/discovery/v1/discovery.proto"];
const check = process.argv.includes("--check");
const out = mkdtempSync(join(tmpdir(), "causeway-protos-"));
try {
  const args = ["--longs=String", "--enums=String", "--defaults", "--oneofs", "--includeComments", "-I", "protos"];
  args.push("-O", out, "--grpcLib=@grpc/grpc-js", "--importFileExtension=.ts", ...files.map((f) => `causeway/${f}`));
  const run = spawnSync("node_modules/.bin/proto-loader-gen-types", args, { stdio: ["ignore", "ignore", "inherit"] });
  if (run.status !== 0) process.exit(run.status ?? 1);
  mkdirSync(join(out, "tables"));
  for (const file of tabled) writeFileSync(join(out, "tables", `${basename(file, ".proto")}.ts`), tablesOf(file));
  const list = (dir) =>
    readdirSync(dir, { recursive: true, encoding: "utf8" })
      .filter((f) => f.endsWith(".ts"))
      .sort();
  if (check) {
    const stale = list(out).filter((f) => {
      try {
        return readFileSync(join(out, f), "utf8") !== readFileSync(join("protos/gen", f), "utf8");
      } catch {
        return true;
      }
    });
    const gone = list("protos/gen").filter((f) => !list(out).includes(f));
    if (stale.length + gone.length > 0) {
      console.error(`Cannot accept protos/gen: ${[...stale, ...gone].join(", ")} differ. Run npm run protos.`);
      process.exit(1);
    }
  } else {
    rmSync("protos/gen", { recursive: true, force: true });
    cpSync(out, "protos/gen", { recursive: true });
  }
} finally {
  rmSync(out, { recursive: true, force: true });
}
