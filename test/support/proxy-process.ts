import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../clusters/node/images.ts";
import type { FakeControl } from "./proxy-world.ts";

/** A `mesh proxy` of its own, as it runs beside a workload. */
export interface ProxyProcess {
  readonly pid: number;
  readonly outboundPort: number;
  readonly inboundPort: number;
  readonly adminPort: number;
  /** Resident memory now and at its highest, in MiB; 0 where the system does not tell. */
  memory(): { readonly nowMb: number; readonly peakMb: number };
  /** Open file descriptors; 0 where the system does not tell. */
  openFiles(): number;
  /** Stops it by SIGTERM and waits for its end. */
  close(): Promise<void>;
}

export interface ProxyProcessOptions {
  /** More arguments of `mesh proxy`. */
  readonly args?: readonly string[];
  /** Descriptors that it must be able to open. */
  readonly openFiles?: number;
}

/** How many descriptors this process, and those that it starts, may have open. */
export function openFilesLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    return Number(/^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function pem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** Starts `mesh proxy` for `serviceAccount` in namespace `shop`, and waits until it serves. Needs a build. */
export async function startProxyProcess(
  control: FakeControl,
  serviceAccount: string,
  options: ProxyProcessOptions = {},
): Promise<ProxyProcess> {
  const directory = mkdtempSync(join(tmpdir(), "causeway-process-"));
  const roots = join(directory, "roots.pem");
  const token = join(directory, "token");
  writeFileSync(roots, control.mesh.authority.bundle.x509Authorities.map(pem).join(""));
  writeFileSync(token, "a-token\n", { mode: 0o600 });
  const { trustDomain } = control.mesh.authority;
  const args = [
    ...[join(packageRoot(), "bin", "mesh"), "proxy", "--cluster", trustDomain.replace(/\.mesh$/, "")],
    ...["--namespace", "shop", "--service-account", serviceAccount, "--pod", `${serviceAccount}-0`],
    ...["--address", "127.0.0.1", "--control", control.address, "--trust-domain", trustDomain],
    ...["--trust-roots", roots, "--token-file", token, "--drain", "0"],
    ...["--outbound-port", "0", "--inbound-port", "0", "--admin-port", "0", ...(options.args ?? [])],
  ];
  const shell = `ulimit -n ${options.openFiles ?? 1_024} 2>/dev/null; exec "$@"`;
  const child: ChildProcess = spawn("/bin/sh", ["-c", shell, "sh", process.execPath, ...args], {
    env: { ...process.env, MESH_LOG_LEVEL: "info" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const close = async () => {
    child.kill("SIGTERM");
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  const started = new Promise<Record<string, number>>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`mesh proxy ended early: ${said}`)));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-65_536);
      const line = (event: string) => said.split("\n").find((candidate) => candidate.includes(event));
      const [admin, proxy] = [line("admin.started"), line("proxy.started")];
      if (admin !== undefined && proxy?.endsWith("}") === true) resolve({ ...JSON.parse(admin), ...JSON.parse(proxy) });
    });
  });
  let ports: Record<string, number>;
  try {
    ports = await started;
  } catch (error) {
    await close();
    throw error;
  }
  const pid = child.pid ?? 0;
  return {
    pid,
    outboundPort: ports["outboundPort"] ?? 0,
    inboundPort: ports["inboundPort"] ?? 0,
    adminPort: ports["adminPort"] ?? 0,
    memory() {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      const mb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) / 1_024;
      return { nowMb: mb("VmRSS"), peakMb: mb("VmHWM") };
    },
    openFiles: () => readdirSync(`/proc/${pid}/fd`).length,
    close,
  };
}
