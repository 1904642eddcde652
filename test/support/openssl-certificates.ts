import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface PemPair {
  readonly key: string;
  /** Leaf first, then its issuer. */
  readonly cert: string;
}

export interface TestAuthority {
  /** PEM of the root. */
  readonly ca: string;
  /** A leaf for `name` (DNS SAN), issued by an intermediate. */
  issue(name: string): PemPair;
  /** Paths for tools that want files. */
  readonly directory: string;
  remove(): void;
}

const P256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** A root and an intermediate made by openssl: real certificates for tests that do not depend on `identity/`. */
export function createTestAuthority(): TestAuthority {
  const directory = mkdtempSync(join(tmpdir(), "causeway-ca-"));
  const run = (...args: string[]) => execFileSync("openssl", args, { cwd: directory, stdio: "pipe" });
  const read = (name: string) => readFileSync(join(directory, name), "utf8");
  const sign = (name: string, issuer: string, extensions: string) => {
    run("req", "-new", ...P256, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    writeFileSync(join(directory, `${name}.ext`), extensions);
    const by = ["-CA", `${issuer}.pem`, "-CAkey", `${issuer}.key`, "-CAcreateserial"];
    run("x509", "-req", "-in", `${name}.csr`, ...by, "-days", "2", "-extfile", `${name}.ext`, "-out", `${name}.pem`);
  };
  run("req", "-x509", ...P256, "-keyout", "root.key", "-out", "root.pem", "-days", "2", "-subj", "/CN=test root");
  sign("issuer", "root", "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n");
  return {
    ca: read("root.pem"),
    directory,
    issue(name) {
      sign(name, "issuer", `subjectAltName=DNS:${name}\n`);
      const pair = { key: read(`${name}.key`), cert: read(`${name}.pem`) + read("issuer.pem") };
      writeFileSync(join(directory, `${name}.chain.pem`), pair.cert);
      return pair;
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
