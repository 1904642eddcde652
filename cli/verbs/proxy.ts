import { setMaxListeners } from "node:events";
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import { type Command, Option } from "commander";
import { aborted } from "../../core/abort.ts";
import { EventClock, systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { asMeshError, errorText, MeshError } from "../../core/errors.ts";
import { defaultTrustDomain, parseTrustDomain } from "../../core/identity.ts";
import { checkNodeTls } from "../../identity/node-tls-check.ts";
import type { ProxyDeps, RunningProxy } from "../../proxy/start-proxy.ts";
import type { WorkloadOptions } from "../../proxy/workload-proxy.ts";
import { processLog } from "../process-log.ts";
import { appSocket, durationMs, hostPorts, requireOption, type VerbContext, wholeNumber } from "../program.ts";
import type { WorkloadEntry } from "../workloads-file.ts";

const WORKLOADS_LOOK_MS = 1_000;

interface ProxyVerbOptions {
  readonly cluster: string;
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly pod?: string;
  readonly zone?: string;
  readonly address?: string;
  readonly workloads?: string;
  readonly adminHost?: string;
  readonly appHost?: string;
  readonly appSocket?: Readonly<Record<string, string>>;
  readonly control: readonly [string, ...string[]];
  readonly trustDomain?: string;
  readonly trustRoots: string;
  readonly tokenFile?: string;
  readonly outboundPort: number;
  readonly inboundPort: number;
  readonly adminPort: number;
  readonly adapter: "auto" | "handle" | "net";
  readonly drain: number;
  readonly intercept: "redirect" | "tproxy" | "none";
  readonly inboundPlain: "allow" | "deny";
  readonly detectTimeout: number;
  readonly failback: number;
}

export function registerProxy(program: Command, context: VerbContext): void {
  const port = wholeNumber(0, 65_535);
  program
    .command("proxy")
    .description("the sidecar of one workload, or with --workloads the proxy of many")
    .requiredOption("--cluster <name>", "cluster of the workload")
    .option("--namespace <name>", "its namespace")
    .option("--service-account <name>", "its ServiceAccount")
    .option("--pod <name>", "its pod")
    .option("--zone <name>", "zone of its node, for services that prefer the caller's")
    .option("--address <ip>", "address of the pod; the sidecar listens there")
    .option(
      "--workloads <file>",
      "serve all workloads of this YAML or JSON file in place of one; read again when it changes, and at SIGHUP",
    )
    .option("--admin-host <ip>", "where the admin port listens (default: --address, with --workloads 127.0.0.1)")
    .option("--app-host <ip>", "where the app listens (default: --address)")
    .option(
      "--app-socket <port=path>",
      "unix socket on which the app takes connections for a port, in place of TCP; once for each port",
      appSocket,
    )
    .requiredOption("--control <host:port,…>", "the cluster's control, each replica of it", hostPorts)
    .option("--trust-domain <name>", "default: <cluster>.mesh")
    .requiredOption("--trust-roots <file>", "PEM of the cluster's root, from ConfigMap causeway-trust")
    .option("--token-file <file>", 'ServiceAccount token with audience "causeway"; read again for each certificate')
    .option("--outbound-port <n>", "for the app's calls", port, PORTS.outbound)
    .option("--inbound-port <n>", "for calls of other sidecars", port, PORTS.inbound)
    .option("--admin-port <n>", "/live /ready /metrics /config", port, PORTS.admin)
    .option("--adapter <kind>", "byte streams on libuv handles or on plain sockets: auto, handle, net", "auto")
    .option("--drain <ms>", "how long SIGTERM lets requests finish", wholeNumber(0, 600_000), 5_000)
    .addOption(
      new Option("--intercept <mode>", "take connections that are redirected here (mesh proxy-init)")
        .choices(["redirect", "tproxy", "none"])
        .default("none"),
    )
    .addOption(
      new Option("--inbound-plain <policy>", "with --intercept: callers that are no proxies of the mesh")
        .choices(["allow", "deny"])
        .default("allow"),
    )
    .option(
      "--detect-timeout <ms>",
      "how long a client may be silent until its connection is passed through unread",
      wholeNumber(1, 600_000),
      10_000,
    )
    .addOption(
      new Option("--failback <duration>", "how long capacity that comes back takes to have all of its share again")
        .env("MESH_FAILBACK")
        .argParser(durationMs)
        .default(10_000, "10s"),
    )
    .action(async (options: ProxyVerbOptions) => {
      await runProxy(options, context);
    });
}

/** PEM certificates of a file as DER. @throws MeshError USAGE */
function readRoots(path: string): Uint8Array[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new MeshError("USAGE", `Cannot read the trust roots from ${path}: ${errorText(error)}.`, { cause: error });
  }
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new MeshError("USAGE", `Cannot use ${path}: it holds no certificate.`);
  return blocks.map((block) => new Uint8Array(Buffer.from(block.replace(/-----[A-Z ]+-----|\s/g, ""), "base64")));
}

async function runProxy(options: ProxyVerbOptions, { env, signal }: VerbContext): Promise<void> {
  const log = processLog("proxy", env);
  const life = new AbortController();
  setMaxListeners(0, life.signal);
  const deps = { clock: new EventClock(), random: Math.random, log, signal: life.signal };
  await checkNodeTls(systemClock.wallMs());
  const proxy = await (options.workloads === undefined
    ? runSidecar(options, deps)
    : runNode(options, options.workloads, deps));
  await aborted(signal);
  await proxy.drain(options.drain);
  await proxy.close();
  life.abort();
}

/** A workload as the proxy wants it. */
function workloadOptions(options: ProxyVerbOptions, entry: WorkloadEntry): WorkloadOptions {
  const { cluster, control, trustDomain } = options;
  const { namespace, serviceAccount, pod, address, zone } = entry;
  return {
    trustDomain: trustDomain === undefined ? defaultTrustDomain(cluster) : parseTrustDomain(trustDomain),
    workload: { namespace, serviceAccount, pod, address, ...(zone === undefined ? {} : { zone }) },
    listen: {
      host: address,
      outboundPort: entry.outboundPort ?? options.outboundPort,
      inboundPort: entry.inboundPort ?? options.inboundPort,
    },
    app: { host: entry.appHost ?? address, ...(entry.appSockets === undefined ? {} : { sockets: entry.appSockets }) },
    controlAddresses: control,
    trustRootsDer: readRoots(options.trustRoots),
    tokenFile: entry.tokenFile,
    limits: { detectMs: options.detectTimeout },
    failbackMs: options.failback,
  };
}

async function runSidecar(options: ProxyVerbOptions, deps: ProxyDeps): Promise<RunningProxy> {
  const { startProxy } = await import("../../proxy/start-proxy.ts");
  const why = "a sidecar has one workload, or there is --workloads";
  const address = requireOption(options.address, "--address", why);
  const workload = workloadOptions(options, {
    namespace: requireOption(options.namespace, "--namespace", why),
    serviceAccount: requireOption(options.serviceAccount, "--service-account", why),
    pod: requireOption(options.pod, "--pod", why),
    address,
    ...(options.zone === undefined ? {} : { zone: options.zone }),
    tokenFile: requireOption(options.tokenFile, "--token-file", why),
    ...(options.appHost === undefined ? {} : { appHost: options.appHost }),
    ...(options.appSocket === undefined ? {} : { appSockets: options.appSocket }),
  });
  const { adminHost, adminPort, adapter } = options;
  const listen = { ...workload.listen, adminPort, ...(adminHost === undefined ? {} : { adminHost }) };
  const { intercept: mode, inboundPlain } = options;
  const intercept = mode === "none" ? {} : { intercept: { mode, inboundPlain } };
  return await startProxy({ ...workload, ...intercept, listen, adapter }, deps);
}

/** Serves what `file` names, as it changes; a file that cannot be used changes nothing. */
async function runNode(
  options: ProxyVerbOptions,
  file: string,
  deps: ProxyDeps,
): Promise<Pick<RunningProxy, "drain" | "close">> {
  const { NodeProxy } = await import("../../proxy/node-proxy.ts");
  const { readWorkloads } = await import("../workloads-file.ts");
  const wanted = () => readWorkloads(file).map((entry) => workloadOptions(options, entry));
  const first = wanted();
  const { adminHost = "127.0.0.1", adminPort, adapter, drain } = options;
  if (options.intercept !== "none")
    throw new MeshError(
      "USAGE",
      "Cannot intercept for many workloads: redirected connections are of one network namespace. Run a sidecar in each.",
    );
  const node = await NodeProxy.start({ admin: { host: adminHost, port: adminPort }, adapter, drainMs: drain }, deps);
  node.update(first);
  const reload = () => {
    try {
      node.update(wanted());
    } catch (error) {
      const { code, message } = asMeshError(error, "USAGE", `read ${file}`);
      deps.log.error("workloads.invalid", { code, error: message });
    }
  };
  // Polled: a mounted ConfigMap changes by a symbolic link, which inotify on the file does not see.
  watchFile(file, { interval: WORKLOADS_LOOK_MS, persistent: false }, reload);
  process.on("SIGHUP", reload);
  return {
    drain: (deadlineMs) => node.drain(deadlineMs),
    close: async () => {
      unwatchFile(file, reload);
      process.off("SIGHUP", reload);
      await node.close();
    },
  };
}
