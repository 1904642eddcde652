import { randomBytes } from "node:crypto";
import { setMaxListeners } from "node:events";
import { hostname } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { aborted } from "../../core/abort.ts";
import { systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { MeshError } from "../../core/errors.ts";
import { defaultTrustDomain, parseTrustDomain } from "../../core/identity.ts";
import { parseClusterName } from "../../core/mirror-name.ts";
import type { HealthSettings } from "../../gateway/federation/link-health.ts";
import { LIFETIME_MS } from "../../identity/certificate.ts";
import { checkNodeTls } from "../../identity/node-tls-check.ts";
import { type AdminServer, startAdminServer } from "../admin-server.ts";
import { accessCluster } from "../cluster-access.ts";
import { processLog } from "../process-log.ts";
import {
  type CommonOptions,
  durationMs,
  hostPort,
  hostPorts,
  requireOption,
  type VerbContext,
  withCommonOptions,
} from "../program.ts";
import {
  REDIS_URLS,
  type RegistryFlags,
  registryCredentials,
  registryKind,
  withRegistryFlags,
} from "../registry-options.ts";
import { ensureFoundation, untilDone } from "../serve/foundation.ts";
import { linkHealth } from "../serve/link-health.ts";
import { ROLES, type Role, type RunningRole, type ServeSettings, startRole } from "../serve/roles.ts";

interface Address {
  readonly host: string;
  readonly port: number;
}

interface ServeOptions extends CommonOptions, RegistryFlags {
  readonly roles: string;
  readonly cluster?: string;
  readonly trustDomain?: string;
  readonly registry: string;
  readonly replica?: string;
  readonly controlListen: Address;
  readonly controlAddress?: [string, ...string[]];
  readonly federationListen: Address;
  readonly relayListen: Address;
  readonly advertise?: string;
  readonly dnsListen: Address;
  readonly tokenFile?: string;
  readonly linkHealth?: Partial<HealthSettings>;
  readonly certificateLifetime: number;
  readonly adminListen: Address;
}

const any = (port: number): Address => ({ host: "0.0.0.0", port });

export function registerServe(program: Command, context: VerbContext): void {
  withCommonOptions(
    withRegistryFlags(
      program
        .command("serve")
        .description("run a cluster's side of the mesh: control, gateway, mirror")
        .option("--roles <names>", "comma-separated", ROLES.join(","))
        .option("--cluster <name>", "name of the cluster (default: the context's)")
        .option("--trust-domain <name>", "default: <cluster>.mesh")
        .option("--registry <url>", `memory:, ${REDIS_URLS}`, "memory:"),
    )
      .option(
        "--replica <name>",
        "stable name of this replica, unique among those of a role (default: host and a random part)",
      )
      .option("--control-listen <host:port>", "discovery and identity", hostPort, any(PORTS.control))
      .option(
        "--control-address <host:port,…>",
        "where this process reaches control, each replica of it (default: its own)",
        hostPorts,
      )
      .option("--federation-listen <host:port>", "for peers' gateways", hostPort, any(PORTS.federation))
      .option("--relay-listen <host:port>", "for peers' sidecars", hostPort, any(PORTS.relay))
      .option("--advertise <host>", "where peers reach this gateway")
      .addOption(
        new Option(
          "--link-health <settings>",
          "as heartbeat=200ms,suspect=3,dead=5,recover=5,ramp=10s,hold=2s,max-hold=60s",
        )
          .env("MESH_LINK_HEALTH")
          .argParser(linkHealth),
      )
      .addOption(
        new Option("--certificate-lifetime <duration>", "of workloads' certificates: 1m to 168h")
          .default(LIFETIME_MS.leaf, "24h")
          .env("MESH_CERTIFICATE_LIFETIME")
          .argParser(leafLifetimeMs),
      )
      .option("--token-file <file>", "projected token of the gateway's ServiceAccount (default: one is requested)")
      .option("--dns-listen <host:port>", "cluster.local and clusterset.local", hostPort, any(PORTS.dnsUnprivileged))
      .option("--admin-listen <host:port>", "/live /ready /metrics /config", hostPort, {
        host: "127.0.0.1",
        port: PORTS.admin,
      }),
    "cluster to serve",
  ).action(async (options: ServeOptions) => {
    await serve(options, context);
  });
}

const LEAF_LIFETIMES_MS = { least: 60_000, most: 7 * 24 * 3_600_000 };

function leafLifetimeMs(text: string): number {
  const ms = durationMs(text);
  if (ms < LEAF_LIFETIMES_MS.least || ms > LEAF_LIFETIMES_MS.most)
    throw new InvalidArgumentError("want a lifetime from 1m to 168h.");
  return ms;
}

function ownControl({ host, port }: Address): string {
  const local = host === "0.0.0.0" ? "127.0.0.1" : host;
  return `${local.includes(":") ? `[${local}]` : local}:${port}`;
}

function parseRoles(text: string): Role[] {
  const names = text.split(",").map((name) => name.trim());
  const roles = ROLES.filter((role) => names.includes(role));
  const unknown = names.find((name) => !ROLES.some((role) => role === name));
  if (unknown !== undefined)
    throw new MeshError("USAGE", `Cannot serve role "${unknown}": there are ${ROLES.join(", ")}.`);
  return roles;
}

async function serve(options: ServeOptions, { env, signal }: VerbContext): Promise<void> {
  const roles = parseRoles(options.roles);
  if (options.registry === "memory:" && roles.length < ROLES.length) {
    throw new MeshError(
      "USAGE",
      `Cannot serve ${roles.join(", ")} alone with the embedded registry: the roles meet in it. Name all roles, or a Redis with --registry.`,
    );
  }
  await checkNodeTls(systemClock.wallMs());
  const access = await accessCluster(options, env);
  const cluster = parseClusterName(options.cluster ?? access.context);
  const log = processLog(roles.length === ROLES.length ? "serve" : roles.join("-"), env).child({ cluster });
  const { openStore } = await import("../../registry/open-store.ts");
  const { ObservedStore } = await import("../../registry/observed-store.ts");
  const { storeAccess } = await import("../registry/access.ts");
  const opened = await openStore(options.registry, {
    cluster,
    clock: systemClock,
    random: Math.random,
    ...registryCredentials(options, env),
  });
  const store = new ObservedStore(opened, systemClock);
  const settings: ServeSettings = {
    cluster,
    trustDomain:
      options.trustDomain === undefined ? defaultTrustDomain(cluster) : parseTrustDomain(options.trustDomain),
    kube: access.kube,
    store,
    replica: options.replica ?? `${hostname()}-${randomBytes(4).toString("hex")}`,
    control: options.controlListen,
    controlAddresses: options.controlAddress ?? [ownControl(options.controlListen)],
    federation: options.federationListen,
    relay: options.relayListen,
    advertise: roles.includes("gateway")
      ? requireOption(options.advertise, "--advertise", "peers must know where to reach this gateway")
      : "",
    dns: options.dnsListen,
    tokenFile: options.tokenFile,
    health: options.linkHealth ?? {},
    leafLifetimeMs: options.certificateLifetime,
    clock: systemClock,
    random: Math.random,
    log,
  };
  const running: RunningRole[] = [];
  const missing = () => {
    const notReady = running.map((role) => role.notReady()).find((text) => text !== undefined);
    return notReady ?? (running.length < roles.length ? "starting" : undefined);
  };
  const degraded = () => {
    const health = store.health();
    const all = health.state === "degraded" ? [`the registry is away (${health.reason})`] : [];
    for (const role of running) all.push(...[role.degraded?.() ?? []].flat());
    return all.length === 0 ? undefined : all.join("; ");
  };
  const life = new AbortController();
  setMaxListeners(0, life.signal);
  const stop = () => life.abort();
  signal.addEventListener("abort", stop, { once: true });
  let admin: AdminServer | undefined;
  try {
    admin = await startAdminServer({
      ...options.adminListen,
      notReady: missing,
      degraded,
      metrics: () => running.map((role) => role.metrics()).join("") + store.metrics(),
      registry: storeAccess(store),
      config: () => ({
        cluster,
        roles,
        trustDomain: settings.trustDomain,
        registry: registryKind(options.registry),
        replica: settings.replica,
        // What this process leads, and under which fencing token.
        leases: store.leases(),
      }),
      drain: stop,
    });
    await untilDone("install", () => ensureFoundation(access.kube), systemClock, log, life.signal);
    // Control first: the others ask it for their identity.
    for (const role of roles) running.push(await startRole(role, settings, life.signal));
    log.info("serve.ready", { roles });
    await aborted(life.signal);
  } catch (error) {
    if (!life.signal.aborted) throw error;
  } finally {
    stop();
    for (const role of running.reverse()) await role.close();
    await store.close();
    await admin?.close();
  }
}
