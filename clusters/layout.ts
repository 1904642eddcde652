import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { MeshError } from "../core/errors.ts";
import { parseClusterName } from "../core/mirror-name.ts";

/** Where local clusters keep everything: `$MESH_HOME`, by default `~/.mesh`. */
export function meshHome(env: NodeJS.ProcessEnv): string {
  const home = env["MESH_HOME"];
  return home === undefined || home === "" ? join(homedir(), ".mesh") : resolve(home);
}

/** The kubeconfig of the local clusters; the user's own is never touched. */
export function localKubeconfig(home: string): string {
  return join(home, "kubeconfig");
}

/** Addresses and folders of one local cluster, all derived from its name, the home and one octet. */
export interface ClusterLayout {
  readonly cluster: string;
  /** Second octet: the cluster lives in 127.<octet>.0.0/16. */
  readonly octet: number;
  readonly directory: string;
  readonly apiServer: { readonly host: string; readonly port: number };
  readonly redis: { readonly host: string; readonly port: number };
  readonly control: string;
  readonly gateway: string;
  /** Of the gateway's further replicas, where there are any. */
  readonly moreGateways: readonly string[];
  readonly mirror: string;
  readonly dns: string;
  readonly node: string;
  readonly serviceCidr: string;
  readonly apiServerState: string;
  readonly kubeletSocket: string;
  readonly runDirectory: string;
  readonly logDirectory: string;
  readonly podDirectory: string;
  readonly redisDirectory: string;
}

/** @throws MeshError NAME_INVALID, USAGE */
export function clusterLayout(home: string, cluster: string, octet: number): ClusterLayout {
  parseClusterName(cluster);
  if (!Number.isInteger(octet) || octet < 1 || octet > 254) {
    throw new MeshError(
      "USAGE",
      `Cannot place cluster "${cluster}" in 127.${octet}.0.0/16: the octet must be 1 to 254.`,
    );
  }
  const directory = join(home, "clusters", cluster);
  const at = (last: number) => `127.${octet}.0.${last}`;
  return {
    cluster,
    octet,
    directory,
    apiServer: { host: at(1), port: 6443 },
    redis: { host: at(2), port: 6379 },
    control: at(3),
    gateway: at(4),
    moreGateways: [21, 22, 23, 24].map(at),
    mirror: at(5),
    node: at(6),
    dns: at(10),
    serviceCidr: `127.${octet}.128.0/17`,
    apiServerState: join(directory, "apiserver"),
    kubeletSocket: join(directory, "kubelet.sock"),
    runDirectory: join(directory, "run"),
    logDirectory: join(directory, "log"),
    podDirectory: join(directory, "pods"),
    redisDirectory: join(directory, "redis"),
  };
}

/** The octets that clusters get in order: 10, 20, 30, … from `base`. */
export function octetOf(index: number, base: number): number {
  return base + 10 * index;
}
