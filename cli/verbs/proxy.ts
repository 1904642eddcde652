import { setMaxListeners } from "node:events";
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { aborted } from "../../core/abort.ts";
import { systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import { defaultTrustDomain, parseTrustDomain } from "../../core/identity.ts";
import { processLog } from "../process-log.ts";
import { hostPort, type VerbContext, wholeNumber } from "../program.ts";

interface ProxyVerbOptions {
  readonly cluster: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly address: string;
  readonly appHost?: string;
  readonly control: { host: string; port: number };
  readonly trustDomain?: string;
  readonly trustRoots: string;
  readonly tokenFile: string;
  readonly outboundPort: number;
  readonly inboundPort: number;
  readonly adminPort: number;
  readonly adapter: "auto" | "handle" | "net";
  readonly drain: number;
}

export function registerProxy(program: Command, context: VerbContext): void {
  const port = wholeNumber(0, 65_535);
  program
    .command("proxy")
    .description("the sidecar of one workload")
    .requiredOption("--cluster <name>", "cluster of the workload")
    .requiredOption("--namespace <name>", "its namespace")
    .requiredOption("--service-account <name>", "its ServiceAccount")
    .requiredOption("--pod <name>", "its pod")
    .requiredOption("--address <ip>", "address of the pod; the sidecar listens there")
    .option("--app-host <ip>", "where the app listens (default: --address)")
    .requiredOption("--control <host:port>", "the cluster's control", hostPort)
    .option("--trust-domain <name>", "default: <cluster>.mesh")
    .requiredOption("--trust-roots <file>", "PEM of the cluster's root, from ConfigMap causeway-trust")
    .requiredOption(
      "--token-file <file>",
      'ServiceAccount token with audience "causeway"; read again for each certificate',
    )
    .option("--outbound-port <n>", "for the app's calls", port, PORTS.outbound)
    .option("--inbound-port <n>", "for calls of other sidecars", port, PORTS.inbound)
    .option("--admin-port <n>", "/live /ready /metrics /config", port, PORTS.admin)
    .option("--adapter <kind>", "byte streams on libuv handles or on plain sockets: auto, handle, net", "auto")
    .option("--drain <ms>", "how long SIGTERM lets requests finish", wholeNumber(0, 600_000), 5_000)
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
  const { startProxy } = await import("../../proxy/start-proxy.ts");
  const { cluster, namespace, serviceAccount, pod, address } = options;
  const log = processLog("proxy", env);
  const life = new AbortController();
  setMaxListeners(0, life.signal);
  const proxy = await startProxy(
    {
      trustDomain:
        options.trustDomain === undefined ? defaultTrustDomain(cluster) : parseTrustDomain(options.trustDomain),
      workload: { namespace, serviceAccount, pod, address },
      listen: {
        host: address,
        outboundPort: options.outboundPort,
        inboundPort: options.inboundPort,
        adminPort: options.adminPort,
      },
      app: { host: options.appHost ?? address },
      controlAddress: `${options.control.host}:${options.control.port}`,
      trustRootsDer: readRoots(options.trustRoots),
      tokenFile: options.tokenFile,
      adapter: options.adapter,
    },
    { clock: systemClock, random: Math.random, log, signal: life.signal },
  );
  await aborted(signal);
  await proxy.drain(options.drain);
  await proxy.close();
  life.abort();
}
