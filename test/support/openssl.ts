import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory in which the openssl command works: a second opinion on certificates, and a maker of foreign ones. */
export class OpenSsl implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "causeway-openssl-"));

  /** Stdout and stderr. Throws where openssl fails. */
  run(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync("openssl", args, { cwd: this.directory, encoding: "utf8" });
    if (status !== 0) throw new Error(`openssl ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout + stderr;
  }

  write(name: string, contents: string | Uint8Array): string {
    writeFileSync(join(this.directory, name), contents);
    return name;
  }

  read(name: string): Buffer {
    return readFileSync(join(this.directory, name));
  }

  /** DER of what `openssl <command> -outform DER` prints. */
  der(command: "req" | "x509", name: string): Buffer {
    return execFileSync("openssl", [command, "-in", name, "-outform", "DER"], { cwd: this.directory });
  }

  /** `<name>.key` and `<name>.csr`; `algorithm` as -newkey takes it with its -pkeyopt. */
  request(name: string, extensions: string, algorithm = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]): void {
    const config = `[req]\ndistinguished_name=dn\nreq_extensions=ext\nprompt=no\n[dn]\nO=Foreign\nCN=${name}\n[ext]\n${extensions}\n`;
    this.write(`${name}.cnf`, config);
    const files = ["-config", `${name}.cnf`, "-keyout", `${name}.key`, "-out", `${name}.csr`];
    this.run("req", "-new", "-newkey", ...algorithm, "-nodes", ...files);
  }

  /** `<name>.pem`, signed by `issuer` (itself where equal), with `extensions`; `days` as for openssl. */
  certificate(name: string, issuer: string, extensions: string, days = 2): void {
    this.request(name, "");
    this.write(`${name}.ext`, extensions);
    const signer = name === issuer ? ["-signkey", `${name}.key`] : ["-CA", `${issuer}.pem`, "-CAkey", `${issuer}.key`];
    const files = ["-in", `${name}.csr`, "-extfile", `${name}.ext`, "-out", `${name}.pem`];
    this.run("x509", "-req", ...files, ...signer, "-set_serial", `0x${Date.now()}`, "-days", String(days), "-sha256");
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
