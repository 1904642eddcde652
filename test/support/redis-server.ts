import { type ChildProcess, execFile, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import forge from "node-forge";

export interface RedisServerOptions {
  /** Appends every write to a file before answering, so that a SIGKILL loses nothing. */
  readonly persistent?: boolean;
  readonly tls?: boolean;
  /** Folder with certificates made for another server, in place of ones of its own. */
  readonly certificates?: string;
  /** ACL rules by user; `default` is then off. */
  readonly users?: Readonly<Record<string, string>>;
  /** Further lines of its configuration. */
  readonly config?: readonly string[];
  /** A Sentinel in place of a Redis. */
  readonly sentinel?: boolean;
}

/** Whether a redis-server is installed; prints why tests are skipped where not. */
export async function hasRedisServer(): Promise<boolean> {
  try {
    await promisify(execFile)("redis-server", ["--version"]);
    return true;
  } catch {
    console.log("    skipped: redis-server is not installed");
    return false;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** A root, and a certificate of 127.0.0.1 for server and client, as PEM files in `dir`. */
export async function writeCertificates(dir: string): Promise<void> {
  const authority = [{ name: "commonName", value: "redis test root" }];
  const make = (subject: typeof authority, extensions: object[], signer?: string) => {
    const keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const certificate = forge.pki.createCertificate();
    certificate.publicKey = forge.pki.publicKeyFromPem(
      keys.publicKey.export({ type: "spki", format: "pem" }).toString(),
    );
    certificate.serialNumber = signer === undefined ? "01" : "02";
    certificate.validity.notBefore = new Date(Date.now() - 3_600_000);
    certificate.validity.notAfter = new Date(Date.now() + 3_600_000);
    certificate.setSubject(subject);
    certificate.setIssuer(authority);
    certificate.setExtensions(extensions);
    certificate.sign(forge.pki.privateKeyFromPem(signer ?? key), forge.md.sha256.create());
    return { key, pem: forge.pki.certificateToPem(certificate) };
  };
  const root = make(authority, [{ name: "basicConstraints", cA: true, critical: true }]);
  const altNames = [{ type: 7, ip: "127.0.0.1" }];
  const leaf = make([{ name: "commonName", value: "redis" }], [{ name: "subjectAltName", altNames }], root.key);
  await writeFile(join(dir, "ca.pem"), root.pem);
  await writeFile(join(dir, "cert.pem"), leaf.pem);
  await writeFile(join(dir, "key.pem"), leaf.key, { mode: 0o600 });
}

/** A redis-server process on a port of its own, which it keeps when started again. */
export class RedisServer {
  readonly port: number;
  readonly dir: string;
  readonly #options: RedisServerOptions;
  #process: ChildProcess | undefined;

  private constructor(port: number, dir: string, options: RedisServerOptions) {
    this.port = port;
    this.dir = dir;
    this.#options = options;
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const dir = await mkdtemp(join(tmpdir(), "redis-"));
    if (options.tls === true && options.certificates === undefined) await writeCertificates(dir);
    for (let attempt = 0; ; attempt++) {
      const server = new RedisServer(await freePort(), dir, options);
      try {
        await server.run();
        return server;
      } catch (error) {
        // Somebody else may have taken the port meanwhile.
        if (attempt === 4) throw error;
      }
    }
  }

  /** Starts the process (again); resolves when it answers. */
  async run(): Promise<void> {
    const { persistent, tls, users, certificates, sentinel, config } = this.#options;
    const file = (name: string) => join(certificates ?? this.dir, name);
    const lines = [
      "bind 127.0.0.1",
      "daemonize no",
      `dir ${this.dir}`,
      ...(sentinel === true ? [] : ['save ""', "repl-diskless-sync-delay 0"]),
      ...(tls === true
        ? [
            "port 0",
            `tls-port ${this.port}`,
            `tls-ca-cert-file ${file("ca.pem")}`,
            `tls-cert-file ${file("cert.pem")}`,
            `tls-key-file ${file("key.pem")}`,
          ]
        : [`port ${this.port}`]),
      ...(persistent === true ? ["appendonly yes", "appendfsync always"] : []),
      ...(users === undefined ? [] : ["user default off"]),
      ...Object.entries(users ?? {}).map(([user, rules]) => `user ${user} ${rules}`),
      ...(config ?? []),
    ];
    // A Sentinel writes into its configuration what it learns, and goes by that when started again.
    const path = join(this.dir, "redis.conf");
    if (sentinel !== true || !existsSync(path)) await writeFile(path, `${lines.join("\n")}\n`, { mode: 0o600 });
    const args = sentinel === true ? [path, "--sentinel"] : [path];
    const process = spawn("redis-server", args, { stdio: ["ignore", "pipe", "ignore"] });
    this.#process = process;
    const log: string[] = [];
    for await (const line of createInterface({ input: process.stdout })) {
      log.push(line);
      if (/Ready to accept connections|Sentinel ID is/.test(line)) {
        process.stdout.resume();
        return;
      }
    }
    throw new Error(`Cannot start redis-server: ${log.slice(-5).join(" | ")}`);
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.kill(name);
  }

  /** Ends the process at once, as a crash would. */
  async kill(): Promise<void> {
    const process = this.#process;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    const exit = once(process, "exit");
    process.kill("SIGKILL");
    await exit;
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}
