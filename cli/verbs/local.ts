import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import {
  adminCredentialsPath,
  clusterKubeconfig,
  controlAddress,
  foundationProcesses,
  roleProcesses,
} from "../../clusters/cluster-processes.ts";
import { type ClusterLayout, meshHome } from "../../clusters/layout.ts";
import { apiServerReady } from "../../clusters/local-cluster.ts";
import { localLayout, readLocalState } from "../../clusters/local-state.ts";
import { Supervisor } from "../../clusters/supervisor.ts";
import { aborted } from "../../core/abort.ts";
import { systemClock } from "../../core/clock.ts";
import type { KubeConfigEntry } from "../../kube/kubeconfig-file.ts";
import { meshCommand } from "../mesh-command.ts";
import { logLevel, processLog } from "../process-log.ts";
import type { VerbContext } from "../program.ts";

interface LocalOptions {
  readonly cluster: string;
}

/** The processes of a local cluster. `mesh up` starts them; nobody else needs to. */
export function registerLocal(program: Command, context: VerbContext): void {
  const local = program
    .command("local", { hidden: true })
    .description("processes of the local clusters, started by mesh up");
  const add = (name: string, description: string, run: (layout: ClusterLayout) => Promise<void>) => {
    local
      .command(name)
      .description(description)
      .requiredOption("--cluster <name>", "local cluster")
      .action(async ({ cluster }: LocalOptions) => {
        await run(localLayout(meshHome(context.env), cluster));
      });
  };
  add("supervisor", "keeps the cluster's processes running", (layout) => runSupervisor(layout, context));
  add("apiserver", "the API server, for laptops and tests", (layout) => runApiServer(layout, context));
  add("node", "runs pods as processes", (layout) => runNode(layout, context));
}

async function runSupervisor(layout: ClusterLayout, { env, signal }: VerbContext): Promise<void> {
  const state = readLocalState(meshHome(env)) ?? { registry: "embedded", clusters: [] };
  const { runDirectory, logDirectory, directory } = layout;
  const log = processLog("supervisor", env);
  const supervisor = new Supervisor({ runDirectory, logDirectory, owner: directory, clock: systemClock, log });
  try {
    for (const spec of foundationProcesses(layout, state, meshCommand())) supervisor.start(spec);
    await apiServerReady(layout, systemClock, signal);
    for (const spec of roleProcesses(layout, state, meshCommand())) supervisor.start(spec);
    await aborted(signal);
  } finally {
    await supervisor.stop(3_000);
  }
}

async function runApiServer(layout: ClusterLayout, { env, signal }: VerbContext): Promise<void> {
  const { startApiServer } = await import("../../clusters/apiserver/server.ts");
  const { writeKubeconfig } = await import("../../kube/kubeconfig-file.ts");
  const server = await startApiServer({
    cluster: layout.cluster,
    host: layout.apiServer.host,
    port: layout.apiServer.port,
    stateDir: layout.apiServerState,
    serviceCidr: layout.serviceCidr,
    kubeletSocket: layout.kubeletSocket,
    // Pods have loopback addresses here, which a real API server refuses; see docs/operations.md.
    allowLoopbackEndpoints: true,
    clock: systemClock,
    log: processLog("apiserver", env),
  });
  const { url, caPem, admin } = server;
  const credentials = { clientCertPem: admin.certPem, clientKeyPem: admin.keyPem };
  const entry: KubeConfigEntry = { name: layout.cluster, server: url, caPem, ...credentials };
  await writeKubeconfig(clusterKubeconfig(layout), [entry], layout.cluster);
  writeFileSync(adminCredentialsPath(layout), JSON.stringify(entry), { mode: 0o600 });
  await aborted(signal);
  await server.close();
}

async function runNode(layout: ClusterLayout, { env, signal }: VerbContext): Promise<void> {
  const { connectKube } = await import("../../kube/client-node-adapter.ts");
  const { runNodeAgent } = await import("../../clusters/node/agent.ts");
  const log = processLog("node", env);
  const kube = await connectKube({ kubeconfigPath: clusterKubeconfig(layout), context: layout.cluster, log });
  const options = {
    layout,
    kube,
    mesh: meshCommand(),
    control: controlAddress(layout),
    owner: layout.directory,
    logLevel: logLevel(env),
    failback: env["MESH_FAILBACK"],
  };
  await runNodeAgent({ ...options, clock: systemClock, log }, signal);
}
