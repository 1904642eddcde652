import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { localKubeconfig, meshHome } from "../clusters/layout.ts";
import { areLocalClustersUp } from "../clusters/local-state.ts";
import { hasCode, MeshError } from "../core/errors.ts";
import type { KubeClient } from "../kube/client.ts";
import { connectKube } from "../kube/client-node-adapter.ts";
import { clusterServer, type LoadedKubeConfig, loadKubeConfig } from "../kube/kubeconfig.ts";
import { type PublishedTrust, readPublishedTrust } from "../kube/published-trust.ts";

export interface ContextOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** A cluster that a verb talks to. */
export interface ClusterAccess {
  readonly context: string;
  readonly server: string;
  readonly kube: KubeClient;
}

/** A cluster with Causeway, with what it says of itself. */
export interface MeshCluster extends ClusterAccess, PublishedTrust {}

/** `--kubeconfig`, then `$KUBECONFIG`, then that of the local clusters while they are up, then kubectl's own default. */
export function kubeconfigPath(options: ContextOptions, env: NodeJS.ProcessEnv): string {
  if (options.kubeconfig !== undefined) {
    if (!existsSync(options.kubeconfig)) {
      throw new MeshError(
        "USAGE",
        `Cannot read kubeconfig ${options.kubeconfig}: there is no such file. Check --kubeconfig.`,
      );
    }
    return options.kubeconfig;
  }
  const fromEnv = env["KUBECONFIG"];
  if (fromEnv !== undefined && fromEnv !== "") return fromEnv;
  const home = meshHome(env);
  if (areLocalClustersUp(home)) return localKubeconfig(home);
  return join(homedir(), ".kube", "config");
}

/** The kubeconfig and context that `options` name. @throws MeshError CONTEXT_UNKNOWN, USAGE */
async function chosenContext(
  options: ContextOptions,
  env: NodeJS.ProcessEnv,
): Promise<{ config: LoadedKubeConfig; context: string }> {
  const path = kubeconfigPath(options, env);
  const config = await loadKubeConfig({
    kubeconfigPath: path,
    ...(options.context === undefined ? {} : { context: options.context }),
  });
  if (config.context === undefined) {
    throw new MeshError(
      "CONTEXT_UNKNOWN",
      `Cannot choose a cluster: ${path} has no current context. Use --context, or start local clusters with mesh up.`,
    );
  }
  return { config, context: config.context };
}

/** Connects to the cluster that `options` name. @throws MeshError CONTEXT_UNKNOWN, USAGE */
export async function accessCluster(options: ContextOptions, env: NodeJS.ProcessEnv): Promise<ClusterAccess> {
  const { config, context } = await chosenContext(options, env);
  return { context, server: clusterServer(config), kube: await connectKube({ config }) };
}

/** The same, for a cluster that must have Causeway. @throws MeshError NOT_INSTALLED, CLUSTER_UNREACHABLE, KUBE_DENIED */
export async function accessMesh(options: ContextOptions, env: NodeJS.ProcessEnv): Promise<MeshCluster> {
  const access = await accessCluster(options, env);
  const missing = new MeshError(
    "NOT_INSTALLED",
    `Cannot use context "${access.context}": Causeway is not running there. Run mesh install --context ${access.context}, then mesh serve --context ${access.context}.`,
  );
  let trust: PublishedTrust | undefined;
  try {
    trust = await readPublishedTrust(access.kube);
  } catch (error) {
    throw hasCode(error, "KUBE_NOT_FOUND") ? missing : error;
  }
  if (trust === undefined) throw missing;
  return { ...access, ...trust };
}
