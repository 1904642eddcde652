import { type Command, InvalidArgumentError } from "commander";
import { hasRedis } from "../../clusters/cluster-processes.ts";
import { installManifests, readManifests } from "../../clusters/install.ts";
import { type ClusterLayout, clusterLayout, localKubeconfig, meshHome, octetOf } from "../../clusters/layout.ts";
import {
  apiServerReady,
  createIfAbsent,
  publishContexts,
  removeCluster,
  removeHome,
  rolesReady,
  startSupervisor,
  workloadsReady,
} from "../../clusters/local-cluster.ts";
import { type LocalState, readLocalState, supervisorOf, writeLocalState } from "../../clusters/local-state.ts";
import { systemClock } from "../../core/clock.ts";
import { MeshError } from "../../core/errors.ts";
import { parseClusterName } from "../../core/mirror-name.ts";
import { connectKube } from "../../kube/client-node-adapter.ts";
import type { KubeConfigEntry } from "../../kube/kubeconfig-file.ts";
import { meshCommand } from "../mesh-command.ts";
import { duration } from "../output.ts";
import { type VerbContext, wholeNumber } from "../program.ts";
import { REDIS_URLS, type RegistryFlags, registryArguments, withRegistryFlags } from "../registry-options.ts";
import { runSteps, type Step } from "../steps.ts";

interface UpOptions extends RegistryFlags {
  readonly clusters: string;
  readonly octet: number;
  readonly gateways?: number;
  readonly apps: boolean;
  /** URL by cluster; "" for all others. */
  readonly registry?: ReadonlyMap<string, string>;
}

const MAX_GATEWAYS = 5;
const SAMPLE_NAMESPACE = "shop";

/** `[<cluster>=]<url>`, added to those given before. */
function registryOf(text: string, before: ReadonlyMap<string, string> = new Map()): ReadonlyMap<string, string> {
  const [, cluster = "", url = ""] = /^(?:([a-z0-9-]+)=)?(.*)$/s.exec(text) ?? [];
  if (!/^rediss?[+:]/.test(url)) throw new InvalidArgumentError(`Give ${REDIS_URLS}.`);
  return new Map(before).set(cluster, url);
}

export function registerUp(program: Command, context: VerbContext): void {
  withRegistryFlags(program.command("up"))
    .description("start local clusters on loopback addresses, with sample apps")
    .option(
      "--clusters <names>",
      "comma-separated names; the last one is the current context and has the client",
      "east,west",
    )
    .option(
      "--octet <n>",
      "first cluster lives in 127.<n>.0.0/16, the next in 127.<n+10>.0.0/16, …",
      wholeNumber(1, 250),
      10,
    )
    .option("--gateways <n>", "replicas of each cluster's gateway (default: 1)", wholeNumber(1, MAX_GATEWAYS))
    .option(
      "--registry <[cluster=]url>",
      "a Redis of your own in place of one per cluster: its URL, for one cluster or for all; may be repeated",
      registryOf,
    )
    .option("--no-apps", "without the sample apps")
    .action(async (options: UpOptions) => {
      await up(options, context);
    });
}

async function up(options: UpOptions, context: VerbContext): Promise<void> {
  const startedMs = performance.now();
  const home = meshHome(context.env);
  const names = options.clusters.split(",").map((name) => parseClusterName(name.trim()));
  if (new Set(names).size < names.length)
    throw new MeshError("USAGE", "Cannot start two clusters of one name: --clusters repeats one.");
  const state = wantedState(home, names, options);
  const layouts = state.clusters.map(({ cluster, octet }) => clusterLayout(home, cluster, octet));
  const before = layouts.filter((layout) => supervisorOf(layout) !== undefined);
  writeLocalState(home, state);
  const started: ClusterLayout[] = [];
  const entries = new Map<string, KubeConfigEntry>();
  const client = names.at(-1) ?? "";
  const steps: Step[] = layouts.flatMap((layout) =>
    stepsOf(layout, { state, home, client, apps: options.apps, context, started, entries }),
  );
  for (const layout of before)
    context.stdout.write(`${layout.cluster} is already running (${layout.apiServer.host}:${layout.apiServer.port})\n`);
  const perCluster = steps.length / layouts.length;
  try {
    for (let i = 0; i < perCluster; i++) {
      const together = layouts
        .map((_, c) => steps[c * perCluster + i])
        .filter((step): step is Step => step !== undefined);
      await runSteps(together, { out: context.stdout, concurrent: true });
      if (i === 0)
        await publishContexts(
          home,
          layouts.flatMap((layout) => entries.get(layout.cluster) ?? []),
          client,
        );
    }
  } catch (error) {
    // What this run started goes again; what ran before stays.
    const forever = new AbortController().signal;
    for (const layout of started) await removeCluster(layout, systemClock, forever);
    if (before.length === 0) await removeHome(home, names);
    else
      writeLocalState(home, {
        ...state,
        clusters: state.clusters.filter((c) => before.some((layout) => layout.cluster === c.cluster)),
      });
    throw error;
  }
  const registry = state.registry === "redis" ? "Redis" : "the embedded registry (redis-server is not installed)";
  context.stdout.write(
    [
      `\n${names.join(" and ")} are up in ${duration(performance.now() - startedMs)}, on ${registry}.`,
      `kubectl: export KUBECONFIG=${localKubeconfig(home)}`,
      ...(names.length > 1 ? [`next:    mesh link --context ${names[0]}`] : []),
      "",
    ].join("\n"),
  );
}

/** What runs already keeps its place; names that are new get the next free octets. */
function wantedState(home: string, names: readonly string[], options: UpOptions): LocalState {
  const { octet: firstOctet } = options;
  const known = readLocalState(home);
  const own = (cluster: string) => options.registry?.get(cluster) ?? options.registry?.get("");
  const all = names.every((cluster) => own(cluster) !== undefined);
  const registry = known?.registry ?? (all || hasRedis() ? "redis" : "embedded");
  if (registry === "embedded" && options.registry !== undefined) {
    throw new MeshError(
      "USAGE",
      "Cannot use a Redis of your own for some clusters: the others run on the embedded registry. Give it for all (mesh down first), or install redis-server.",
    );
  }
  const gateways = options.gateways ?? known?.gateways ?? 1;
  if (gateways > 1 && registry === "embedded") {
    throw new MeshError(
      "USAGE",
      "Cannot start several gateways: replicas meet in Redis. Install redis-server, or leave --gateways out.",
    );
  }
  const clusters = [...(known?.clusters ?? [])];
  for (const cluster of names) {
    const url = own(cluster);
    const before = clusters.find((c) => c.cluster === cluster);
    if (before !== undefined) {
      if (url === undefined || before.redis?.includes(url) === true) continue;
      throw new MeshError("USAGE", `Cannot move ${cluster} to another registry: it is up. Run mesh down first.`);
    }
    let index = 0;
    while (clusters.some((c) => c.octet === octetOf(index, firstOctet))) index++;
    const redis = url === undefined ? {} : { redis: registryArguments(url, options) };
    clusters.push({ cluster, octet: octetOf(index, firstOctet), ...redis });
  }
  return { registry, gateways, clusters };
}

interface StepDeps {
  readonly state: LocalState;
  readonly home: string;
  readonly client: string;
  readonly apps: boolean;
  readonly context: VerbContext;
  readonly started: ClusterLayout[];
  readonly entries: Map<string, KubeConfigEntry>;
}

function stepsOf(layout: ClusterLayout, deps: StepDeps): Step[] {
  const { state, home, client, apps, context, started, entries } = deps;
  const { cluster } = layout;
  const { signal } = context;
  const kube = () => connectKube({ kubeconfigPath: localKubeconfig(home), context: cluster });
  return [
    {
      title: `${cluster}: API server`,
      async run(say) {
        if (await startSupervisor(layout, meshCommand())) started.push(layout);
        entries.set(cluster, await apiServerReady(layout, systemClock, signal));
        say(`https://${layout.apiServer.host}:${layout.apiServer.port}`);
      },
    },
    {
      title: `${cluster}: resources`,
      async run(say) {
        const { created, updated, unchanged } = await installManifests(await kube(), { crdsOnly: false });
        say(`${created.length} created, ${updated.length} updated, ${unchanged.length} as they were`);
      },
    },
    {
      title: `${cluster}: sample apps`,
      async run(say) {
        if (!apps) return say("none");
        const files = cluster === client ? ["sample-web.yaml", "sample-client.yaml"] : ["sample-web.yaml"];
        const target = await kube();
        for (const object of await readManifests(files)) await createIfAbsent(target, object);
        say(files.map((file) => file.replace(/^sample-|\.yaml$/g, "")).join(", "));
      },
    },
    {
      title: `${cluster}: control, gateway, mirror`,
      async run() {
        await rolesReady(layout, state, systemClock, signal);
      },
    },
    {
      title: `${cluster}: pods`,
      async run(say) {
        if (!apps) return say("none");
        say(`${await workloadsReady(await kube(), SAMPLE_NAMESPACE, systemClock, signal)} ready`);
      },
    },
  ];
}
