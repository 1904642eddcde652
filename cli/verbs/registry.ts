import { X509Certificate } from "node:crypto";
import type { Command } from "commander";
import { meshHome } from "../../clusters/layout.ts";
import { localLayouts } from "../../clusters/local-state.ts";
import { type Clock, sleep, systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { hasCode, MeshError } from "../../core/errors.ts";
import { advertisedGateways } from "../../gateway/advertise.ts";
import type { KubeObject, ResourceType } from "../../kube/client.ts";
import {
  GRPC_ROUTES,
  HTTP_ROUTES,
  REFERENCE_GRANTS,
  type ReferenceGrant,
  type RouteObject,
} from "../../kube/gateway-api.ts";
import {
  ENDPOINT_SLICES,
  type EndpointSlice,
  FAILOVER_POLICIES,
  type FailoverPolicyObject,
  type KubeService,
  LINKS,
  type Link,
  PODS,
  type Pod,
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  SERVICES,
  type ServiceExportObject,
  type ServiceImportObject,
} from "../../kube/resources.ts";
import { accessMesh, type MeshCluster } from "../cluster-access.ts";
import { duration, show, table } from "../output.ts";
import { type CommonOptions, durationMs, hostPort, type VerbContext, withCommonOptions } from "../program.ts";
import { adminAccess, type RegistryAccess, type RegistryStatus, storeAccess } from "../registry/access.ts";
import { type ClusterFacts, compareRegistry, type Difference } from "../registry/comparison.ts";
import { REDIS_URLS, type RegistryFlags, registryCredentials, withRegistryFlags } from "../registry-options.ts";

interface RegistryOptions extends CommonOptions, RegistryFlags {
  readonly registry?: string;
  readonly admin?: { readonly host: string; readonly port: number };
}

interface VerifyOptions extends RegistryOptions {
  readonly settle: number;
}

interface RebuildOptions extends RegistryOptions {
  readonly timeout: number;
}

const LOOK_MS = 250;

export function registerRegistry(program: Command, context: VerbContext): void {
  const registry = program
    .command("registry")
    .description("the cluster's registry: look into it, check it, rebuild it");
  const verb = (name: string, description: string) =>
    withCommonOptions(
      withRegistryFlags(
        registry
          .command(name)
          .description(description)
          .option("--registry <url>", `the registry itself: ${REDIS_URLS}`)
          .option(
            "--admin <host:port>",
            "admin port of a mesh serve, to ask it (default: a local cluster's own)",
            hostPort,
          ),
      ),
    );
  verb("status", "its servers, what it holds, who leads").action(async (options: RegistryOptions) => {
    await withRegistry(options, context, async (access) => {
      const status = await access.status();
      show(options.output, status, () => statusTable(status), context.stdout);
    });
  });
  verb("dump", "all that it holds, without route names").action(async (options: RegistryOptions) => {
    await withRegistry(options, context, async (access) => {
      const dump = await access.dump();
      const rows = () => dump.entries.map(({ key, revision, value }) => [key, revision, JSON.stringify(value) ?? "-"]);
      show(options.output, dump, () => table(["KEY", "REVISION", "VALUE"], rows()), context.stdout);
    });
  });
  verb("verify", "compares it with Kubernetes and with what peers agreed on; fails where it differs")
    .option("--settle <duration>", "differences that are gone within it are changes on their way", durationMs, 12_000)
    .action(async (options: VerifyOptions) => {
      await withRegistry(options, context, async (access, mesh) => {
        const { differences, entries } = await settled(access, mesh, options.settle, context.signal);
        show(options.output, { entries, differences }, () => differenceTable(entries, differences), context.stdout);
        if (differences.length > 0) context.exit(1);
      });
    });
  verb("rebuild", "empties it and has its owners write it again; traffic goes on with the last good state")
    .option("--timeout <duration>", "how long to wait until it is whole", durationMs, 60_000)
    .action(async (options: RebuildOptions) => {
      await withRegistry(options, context, (access, mesh) => rebuild(access, mesh, options, context));
    });
}

/** Runs `use` on the registry that `options` name. @throws MeshError USAGE where none is named or known */
async function withRegistry(
  options: RegistryOptions,
  context: VerbContext,
  use: (access: RegistryAccess, mesh: MeshCluster) => Promise<void>,
): Promise<void> {
  const mesh = await accessMesh(options, context.env);
  if (options.registry === undefined) {
    const { host, port } = options.admin ?? localAdmin(mesh.cluster, context.env);
    await use(adminAccess(host, port), mesh);
    return;
  }
  if (options.admin !== undefined || options.registry === "memory:") {
    throw new MeshError(
      "USAGE",
      "Cannot choose a registry: give --registry with a Redis, or --admin; the embedded one can only be asked by --admin.",
    );
  }
  const { openStore } = await import("../../registry/open-store.ts");
  const credentials = registryCredentials(options, context.env);
  const store = await openStore(options.registry, {
    cluster: mesh.cluster,
    clock: systemClock,
    random: Math.random,
    ...credentials,
  });
  try {
    await use(storeAccess(store), mesh);
  } finally {
    await store.close();
  }
}

function localAdmin(cluster: string, env: NodeJS.ProcessEnv): { host: string; port: number } {
  const layout = localLayouts(meshHome(env)).find((known) => known.cluster === cluster);
  if (layout !== undefined) return { host: layout.control, port: PORTS.admin };
  throw new MeshError(
    "USAGE",
    `Cannot reach the registry of ${cluster}: give --registry with the URL that its mesh serve has, or --admin with the admin port of one (kubectl port-forward).`,
  );
}

async function clusterFacts({ kube, trustDomain, rootPem }: MeshCluster): Promise<ClusterFacts> {
  // Whose definitions a cluster may lack: there are none then.
  const optional = async <T extends KubeObject>(type: ResourceType): Promise<T[]> => {
    try {
      return await kube.list<T>(type);
    } catch (error) {
      if (hasCode(error, "KUBE_NOT_FOUND")) return [];
      throw error;
    }
  };
  const [services, slices, pods, exports, links, gateways, imports, http, grpc, grants, policies] = await Promise.all([
    kube.list<KubeService>(SERVICES),
    kube.list<EndpointSlice>(ENDPOINT_SLICES),
    kube.list<Pod>(PODS),
    kube.list<ServiceExportObject>(SERVICE_EXPORTS),
    kube.list<Link>(LINKS),
    advertisedGateways(kube),
    kube.list<ServiceImportObject>(SERVICE_IMPORTS),
    optional<RouteObject>(HTTP_ROUTES),
    optional<RouteObject>(GRPC_ROUTES),
    optional<ReferenceGrant>(REFERENCE_GRANTS),
    optional<FailoverPolicyObject>(FAILOVER_POLICIES),
  ]);
  const root = new X509Certificate(rootPem).raw.toString("base64");
  const routes = [...http, ...grpc];
  return { trustDomain, root, services, slices, pods, exports, links, gateways, imports, routes, grants, policies };
}

/** What differs for as long as `forMs`, and how many entries there are. */
async function settled(
  access: RegistryAccess,
  mesh: MeshCluster,
  forMs: number,
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<{ differences: Difference[]; entries: number }> {
  const untilMs = clock.nowMs() + forMs;
  for (;;) {
    const [dump, facts] = await Promise.all([access.dump(), clusterFacts(mesh)]);
    const differences = compareRegistry(dump, facts);
    const { lost } = await access.status();
    if (lost > 0) {
      differences.push({ key: "", problem: "unreadable", detail: `${lost} values cannot be found by their keys` });
    }
    if (differences.length === 0 || clock.nowMs() >= untilMs) return { differences, entries: dump.entries.length };
    await sleep(clock, LOOK_MS, signal);
  }
}

async function rebuild(
  access: RegistryAccess,
  mesh: MeshCluster,
  { timeout, output }: RebuildOptions,
  { signal, stdout, exit }: VerbContext,
): Promise<void> {
  // What is there may be beyond reading; it goes in any case.
  const before = await access.status().then(
    ({ entries }) => entries,
    (error: unknown) => {
      if (hasCode(error, "REGISTRY_DENIED")) throw error;
      return 0;
    },
  );
  const sinceMs = systemClock.nowMs();
  await access.clear();
  const { differences, entries } = await settled(access, mesh, timeout, signal);
  const tookMs = Math.round(systemClock.nowMs() - sinceMs);
  const result = { before, entries, tookMs, differences };
  show(
    output,
    result,
    () =>
      differences.length === 0
        ? `rebuilt in ${duration(tookMs)}: ${entries} entries (${before} before)`
        : differenceTable(entries, differences),
    stdout,
  );
  if (differences.length > 0) exit(1);
}

function differenceTable(entries: number, differences: readonly Difference[]): string {
  if (differences.length === 0) return `${entries} entries, as Kubernetes and the peers have it`;
  return table(
    ["KEY", "PROBLEM", "DETAIL"],
    differences.map(({ key, problem, detail }) => [key, problem, detail]),
  );
}

function bytes(count: number): string {
  return count < 1_048_576 ? `${Math.ceil(count / 1_024)} KiB` : `${(count / 1_048_576).toFixed(1)} MiB`;
}

function statusTable({ mode, revision, entries, lost, changes, leases, nodes }: RegistryStatus): string {
  const counts = `${mode}: revision ${revision}, ${entries} entries, ${changes} changes kept`;
  const nodeRows = nodes.map((node) => [
    node.address,
    node.problem === "" ? node.role : node.problem,
    node.version,
    bytes(node.memoryBytes) + (node.maxMemoryBytes === 0 ? "" : ` of ${bytes(node.maxMemoryBytes)}`),
    String(node.replicas),
    node.replicas === 0 ? "-" : bytes(node.lagBytes),
  ]);
  const leaseRows = leases.map(({ lease, holder, token, ttlMs }) => [
    lease,
    holder ?? "nobody",
    token,
    holder === null ? "-" : duration(ttlMs),
  ]);
  return [
    counts,
    ...(lost === 0 ? [] : [`${lost} values cannot be found by their keys: run mesh registry rebuild`]),
    ...(nodes.length === 0 ? [] : [table(["SERVER", "ROLE", "VERSION", "MEMORY", "REPLICAS", "BEHIND"], nodeRows)]),
    table(["LEASE", "LEADER", "TOKEN", "LEFT"], leaseRows),
  ].join("\n");
}
