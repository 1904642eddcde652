import { deepEqual, equal, match, notEqual } from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../clusters/node/images.ts";
import { type CommandResult, run } from "./support/commands.ts";

/** Those of the architecture's table that there are. */
const FOLDERS = [
  ...["core", "protos", "identity", "registry", "kube", "transport", "gateway", "mirror", "proxy", "control"],
  ...["drills", "clusters", "cli", "test", "bench"],
].filter((folder) => existsSync(join(packageRoot(), folder)));

describe("the import direction of docs/architecture.md", () => {
  /** A copy of the source, into which violations can be planted without anybody seeing them. */
  let copy: string;

  before(() => {
    const root = packageRoot();
    copy = mkdtempSync(join(tmpdir(), "causeway-imports-"));
    for (const name of [...FOLDERS, ".dependency-cruiser.cjs", "package.json", "tsconfig.json"])
      cpSync(join(root, name), join(copy, name), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  });

  after(() => rmSync(copy, { recursive: true, force: true }));

  function cruise(): Promise<CommandResult> {
    const binary = join(copy, "node_modules", "dependency-cruiser", "bin", "dependency-cruise.mjs");
    const command = `cd "$1" && exec "$2" "$3" --config .dependency-cruiser.cjs --output-type err .`;
    return run("sh", ["-c", command, "sh", copy, process.execPath, binary]);
  }

  it("is kept by every file", async () => {
    const { code, stdout, stderr } = await cruise();
    equal(code, 0, stdout + stderr);
    const modules = Number(/\((\d+) modules/.exec(stdout)?.[1] ?? 0);
    const files = FOLDERS.flatMap((folder) =>
      readdirSync(join(copy, folder), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts")),
    );
    // It must have looked at them, or it would pass for nothing.
    equal(modules >= files.length, true, `${modules} modules cruised, ${files.length} files there`);
  });

  it("fails for a planted violation of each rule", async () => {
    const planted = [
      ["core-imports-down-only", "core/planted.ts", 'import "../cli/main.ts";\n'],
      ["gateway-imports-down-only", "gateway/planted.ts", 'import "../mirror/mirror.ts";\n'],
      ["kube-imports-down-only", "kube/planted.ts", 'import type { RegistryStore } from "../registry/store.ts";\n'],
      ["drills-imports-down-only", "drills/planted.ts", 'import "../clusters/layout.ts";\n'],
      ["proxy-knows-neither-registry-nor-kube", "proxy/planted.ts", 'import "../registry/store.ts";\n'],
      ["no-test-code-in-product", "cli/planted.ts", 'import "../test/support/eventually.ts";\n'],
      ["tests-import-down-or-test-support", "core/planted.test.ts", 'import "../test/imports.test.ts";\n'],
      ["no-circular", "identity/planted.ts", 'import "./planted.ts";\n'],
    ] as const;
    for (const [, file, text] of planted) writeFileSync(join(copy, file), text);
    const { code, stdout } = await cruise();
    notEqual(code, 0);
    for (const [rule, file] of planted) match(stdout, new RegExp(`error ${rule}: ${file.replaceAll(".", "\\.")}`));
  });

  it("has a rule for every folder", () => {
    const root = readdirSync(packageRoot(), { withFileTypes: true });
    const folders = root.filter((entry) => entry.isDirectory() && /^[a-z]/.test(entry.name)).map((entry) => entry.name);
    const other = ["bin", "dist", "docs", "node_modules", "scripts", "coverage"];
    deepEqual(
      folders.filter((name) => !other.includes(name) && !FOLDERS.includes(name)),
      [],
    );
  });
});
