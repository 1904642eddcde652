import { setMaxListeners } from "node:events";
import { unwatchFile, watchFile } from "node:fs";
import type { Command } from "commander";
import { aborted } from "../../core/abort.ts";
import { systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { asMeshError, MeshError } from "../../core/errors.ts";
import { defaultTrustDomain, parseTrustDomain } from "../../core/identity.ts";
import type { Log } from "../../core/log.ts";
import { parseClusterName } from "../../core/mirror-name.ts";
import type { RelayRoutes } from "../../gateway/relay/relay.ts";
import { startAdminServer } from "../admin-server.ts";
import { accessCluster } from "../cluster-access.ts";
import { processLog } from "../process-log.ts";
import { type CommonOptions, hostPort, type VerbContext, wholeNumber, withCommonOptions } from "../program.ts";
import {
  REDIS_URLS,
  type RegistryFlags,
  registryCredentials,
  registryKind,
  withRegistryFlags,
} from "../registry-options.ts";
import { readRoutes } from "../routes-file.ts";

interface Address {
  readonly host: string;
  readonly port: number;
}

interface RelayVerbOptions extends CommonOptions, RegistryFlags {
  readonly routes?: string;
  readonly cluster?: string;
  readonly trustDomain?: string;
  readonly registry?: string;
  readonly listen: Address;
  readonly adminListen: Address;
  readonly adapter: "auto" | "handle" | "net";
  readonly drain: number;
}

const ROUTES_LOOK_MS = 1_000;

export function registerRelay(program: Command, context: VerbContext): void {
  withCommonOptions(
    withRegistryFlags(
      program
        .command("relay")
        .description("the gateway's data plane alone: passes TLS connections on by the name that they ask for")
        .option("--registry <url>", `routes of the cluster's exports: ${REDIS_URLS}`)
        .option("--routes <file>", "in place of a registry: YAML or JSON with routes, read again when it changes")
        .option("--cluster <name>", "name of the cluster (default: the context's)")
        .option("--trust-domain <name>", "default: <cluster>.mesh"),
    )
      .option("--listen <host:port>", "for peers' sidecars", hostPort, { host: "0.0.0.0", port: PORTS.relay })
      .option("--admin-listen <host:port>", "/live /ready /metrics /config", hostPort, {
        host: "127.0.0.1",
        port: PORTS.admin,
      })
      .option("--adapter <kind>", "byte streams on libuv handles or on plain sockets: auto, handle, net", "auto")
      .option("--drain <ms>", "how long SIGTERM lets connections end", wholeNumber(0, 600_000), 5_000),
    "cluster whose exports are relayed",
  ).action(async (options: RelayVerbOptions) => {
    await runRelay(options, context);
  });
}

/** A table of routes with where it comes from. */
interface RouteSource {
  readonly routes: RelayRoutes & { readonly size: number };
  /** For /config. */
  readonly from: string;
  notReady(): string | undefined;
  degraded(): string | undefined;
  close(): Promise<void>;
}

async function runRelay(options: RelayVerbOptions, { env, signal }: VerbContext): Promise<void> {
  const { startRelay } = await import("../../gateway/relay/relay.ts");
  const { createTransport } = await import("../../transport/create-transport.ts");
  const log = processLog("relay", env);
  const life = new AbortController();
  setMaxListeners(0, life.signal);
  let stopping = false;
  const stop = () => {
    stopping = true;
    life.abort();
  };
  signal.addEventListener("abort", stop, { once: true });
  const undo: (() => unknown)[] = [];
  try {
    const source = await (options.routes === undefined
      ? registryRoutes(options, env, log, life.signal)
      : fileRoutes(options, options.routes, log));
    undo.push(() => source.close());
    const clock = systemClock;
    const transport = await createTransport({ adapter: options.adapter, clock, log, loneWritesAtOnce: true });
    const relay = await startRelay({ transport, ...options.listen, routes: source.routes, clock, log });
    undo.push(() => relay.close());
    const admin = await startAdminServer({
      ...options.adminListen,
      notReady: () => (stopping ? "draining" : source.notReady()),
      degraded: () => source.degraded(),
      metrics: () =>
        `${relay.metricsText()}# HELP relay_routes Routes in the table.\n# TYPE relay_routes gauge\nrelay_routes ${source.routes.size}\n`,
      config: () => ({ listen: relay.port, routes: source.routes.size, from: source.from, adapter: transport.adapter }),
      drain: stop,
    });
    undo.push(() => admin.close());
    log.info("relay.started", { port: relay.port, adminPort: admin.port, adapter: transport.adapter });
    await aborted(life.signal);
    const cut = await relay.drain(options.drain);
    log.info("relay.drained", { cut });
  } catch (error) {
    // Whoever ends it while it starts has seen no failure.
    if (!stopping) throw error;
  } finally {
    stop();
    for (const step of undo.reverse()) await step();
  }
}

/** Routes as the gateway role derives them, kept up to date. */
async function registryRoutes(
  options: RelayVerbOptions,
  env: NodeJS.ProcessEnv,
  log: Log,
  signal: AbortSignal,
): Promise<RouteSource> {
  const { registry } = options;
  if (registry === undefined || registry === "memory:") {
    throw new MeshError(
      "USAGE",
      "Cannot relay without a registry to read routes from: the embedded one is another process's. Name a Redis with --registry, or a file with --routes.",
    );
  }
  const { followRoutes } = await import("../../gateway/follow-routes.ts");
  const { openStore } = await import("../../registry/open-store.ts");
  const { kube, context } = await accessCluster(options, env);
  const cluster = parseClusterName(options.cluster ?? context);
  const { trustDomain: named } = options;
  const trustDomain = named === undefined ? defaultTrustDomain(cluster) : parseTrustDomain(named);
  const clock = systemClock;
  const random = Math.random;
  const store = await openStore(registry, {
    cluster,
    clock,
    random,
    ...registryCredentials(options, env),
  });
  try {
    const followed = await followRoutes({ cluster, trustDomain, kube, store, clock, random, log, signal });
    return {
      routes: followed.routes,
      from: registryKind(registry),
      notReady: () => (followed.synced ? undefined : "waiting for the registry"),
      degraded() {
        const health = store.health();
        return health.state === "degraded" ? `the registry is away (${health.reason})` : undefined;
      },
      async close() {
        await followed.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Routes of a file. One that cannot be used later changes nothing. */
async function fileRoutes(options: RelayVerbOptions, file: string, log: Log): Promise<RouteSource> {
  if (options.registry !== undefined)
    throw new MeshError("USAGE", "Cannot relay with --routes and --registry: give one of them.");
  const { StaticRoutes } = await import("../../gateway/relay/static-routes.ts");
  const routes = new StaticRoutes();
  let wrong: string | undefined;
  routes.replace(readRoutes(file));
  const reload = () => {
    try {
      routes.replace(readRoutes(file));
      wrong = undefined;
      log.info("routes.read", { routes: routes.size });
    } catch (error) {
      const { code, message } = asMeshError(error, "USAGE", `read ${file}`);
      wrong = message;
      log.error("routes.invalid", { code, error: message });
    }
  };
  // Polled: a mounted ConfigMap changes by a symbolic link, which inotify on the file does not see.
  watchFile(file, { interval: ROUTES_LOOK_MS, persistent: false }, reload);
  process.on("SIGHUP", reload);
  return {
    routes,
    from: file,
    notReady: () => undefined,
    degraded: () => wrong,
    async close() {
      unwatchFile(file, reload);
      process.off("SIGHUP", reload);
    },
  };
}
