import { ownedProcesses, type ProcessRecord, signalRecord } from "../../clusters/process-record.ts";
import { PORTS } from "../../core/defaults.ts";
import { type LocalMesh, reached } from "../../test/support/local-mesh.ts";
import { PacketDrop } from "./packet-drop.ts";

/** Where the client is; the other cluster is `REMOTE`. */
export const LOCAL = "west";
export const REMOTE = "east";

/** A fault under traffic from `LOCAL`'s client to the federated name. */
export interface FailoverCase {
  readonly name: string;
  /** The cluster that answers before the fault. */
  readonly first: typeof LOCAL | typeof REMOTE;
  /**
   * What ends the time to detection: the first answer of another cluster, or the first one to a GET that was due after
   * the fault; undefined: nothing has to be noticed.
   */
  readonly detectedBy?: "another" | "next";
  readonly holdMs: number;
  /** Replicas of each gateway; 1 where it says none. */
  readonly gateways?: number;
  /** What takes its time and is no part of the fault, before there is traffic. */
  prepare?(mesh: LocalMesh): Promise<void>;
  /** Looks up what the fault will hit; right before the traffic. */
  aim?(mesh: LocalMesh): Promise<void>;
  inject(mesh: LocalMesh): Promise<void>;
  heal(mesh: LocalMesh): Promise<void>;
  /** Once, after the last repetition, also where one failed. */
  end?(): Promise<void>;
}

interface Pods {
  readonly items: readonly { readonly metadata: { readonly uid: string } }[];
}

const HOLD_MS = 2_000;
const FLAPS = 3;
const FLAP_MS = 1_100;
const CONTROL_LOSS_S = 3;
const SUPERVISOR = "supervisor";
const SLOW = `apiVersion: apps/v1
kind: Deployment
metadata: { name: web-slow, namespace: shop }
spec:
  replicas: 1
  selector: { matchLabels: { app: web, pace: slow } }
  template:
    metadata: { labels: { app: web, pace: slow } }
    spec:
      serviceAccountName: web
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: causeway.dev/sample-web:1
          ports: [{ name: http, containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /ready, port: http } }
`;

/** As the drills and the design name them. `drops`: packets can be dropped here. */
export function failoverCases(drops: boolean): FailoverCase[] {
  const remote = { first: REMOTE, detectedBy: "another", holdMs: HOLD_MS } as const;
  const local = { first: LOCAL, holdMs: HOLD_MS } as const;
  return [
    { name: "all local pods SIGKILLed", ...local, detectedBy: "another", ...localPods() },
    {
      ...{ name: "remote gateway SIGKILLed (1 of 2)", ...remote, detectedBy: "next", gateways: 2 },
      ...oneOfGateways(),
    },
    {
      ...{ name: "remote gateway SIGKILLed (the only one)", ...remote },
      ...signalled("SIGKILL", undefined, (mesh) => named(mesh, REMOTE, ["gateway"])),
    },
    { name: "remote cluster's processes SIGKILLed", ...remote, ...wholeCluster() },
    drops
      ? { name: "remote cluster black-holed (packets dropped)", ...remote, ...blackHole() }
      : {
          ...{ name: "remote cluster black-holed (SIGSTOP of all of it: no root or no nft here)", ...remote },
          ...signalled("SIGSTOP", "SIGCONT", (mesh) => ownedProcesses(mesh.layout(REMOTE).directory)),
        },
    {
      ...{ name: "gateway hung (SIGSTOP)", ...remote },
      ...signalled("SIGSTOP", "SIGCONT", (mesh) => named(mesh, REMOTE, ["gateway"])),
    },
    { name: "one endpoint slow (2 s)", ...local, holdMs: 4_000, ...slowEndpoint() },
    {
      ...{ name: `control, mirror, Redis of both clusters SIGKILLed for ${CONTROL_LOSS_S} s`, ...local },
      ...{ holdMs: 1_000 * CONTROL_LOSS_S, ...withoutControl() },
    },
    { name: "link flapping each second", ...remote, holdMs: 0, ...flapping() },
  ];
}

/** One signal to all that `find` names, and another one as the end of the fault. */
function signalled(
  fault: NodeJS.Signals,
  end: NodeJS.Signals | undefined,
  find: (mesh: LocalMesh) => readonly ProcessRecord[],
): Pick<FailoverCase, "aim" | "inject" | "heal"> {
  let victims: readonly ProcessRecord[] = [];
  return {
    async aim(mesh) {
      victims = await reached("what the fault hits runs", () => {
        const found = find(mesh);
        return found.length > 0 ? found : undefined;
      });
    },
    async inject() {
      for (const victim of victims) signalRecord(victim, fault);
    },
    async heal() {
      if (end !== undefined) for (const victim of victims) signalRecord(victim, end);
    },
  };
}

function localPods(): Pick<FailoverCase, "prepare" | "aim" | "inject" | "heal"> {
  let prefixes: readonly string[] = [];
  const find = (mesh: LocalMesh) =>
    mesh.records(LOCAL).filter(({ name }) => prefixes.some((prefix) => name.startsWith(prefix)));
  return {
    async prepare(mesh) {
      const pods = await mesh.json<Pods>(LOCAL, "-n", "shop", "pods", "-l", "app=web");
      prefixes = pods.items.map(({ metadata }) => `pod-${metadata.uid}-`);
    },
    ...signalled("SIGKILL", undefined, find),
    // New ones: containers that end again and again are started later each time.
    async heal(mesh) {
      await mesh.kubectl(LOCAL, "-n", "shop", "delete", "pods", "-l", "app=web", "--wait=false");
    },
  };
}

/** Either one by turns: each time it is another that leads. */
function oneOfGateways(): Pick<FailoverCase, "aim" | "inject" | "heal"> {
  const names = ["gateway", "gateway-2"];
  let next = 0;
  return signalled("SIGKILL", undefined, (mesh) => {
    const all = named(mesh, REMOTE, names);
    if (all.length < names.length) return [];
    const victim = names[next++ % names.length];
    return all.filter(({ name }) => name === victim);
  });
}

function wholeCluster(): Pick<FailoverCase, "aim" | "inject" | "heal"> {
  // The supervisor first, or it would start the others again.
  const find = (mesh: LocalMesh) => [
    ...named(mesh, REMOTE, [SUPERVISOR]),
    ...ownedProcesses(mesh.layout(REMOTE).directory),
  ];
  return {
    ...signalled("SIGKILL", undefined, find),
    async heal(mesh) {
      const up = await mesh.mesh(...mesh.upArguments());
      if (up.code !== 0) throw new Error(`Cannot start the remote cluster again: ${up.stderr}`);
    },
  };
}

/** All that crosses between the clusters goes by their gateways; what is within a cluster goes on. */
function blackHole(): Pick<FailoverCase, "prepare" | "inject" | "heal" | "end"> {
  let drop: PacketDrop | undefined;
  return {
    async prepare(mesh) {
      const hosts = mesh.clusters.map((cluster) => mesh.layout(cluster).gateway);
      drop ??= new PacketDrop({ hosts, ports: [PORTS.relay, PORTS.federation] });
    },
    async inject() {
      drop?.begin();
    },
    async heal() {
      drop?.end();
    },
    async end() {
      await drop?.close();
      drop = undefined;
    },
  };
}

/** A third endpoint, which takes its part until it becomes slow; a new one each time, of which nobody knows anything. */
function slowEndpoint(): Pick<FailoverCase, "prepare" | "inject" | "heal"> {
  let victims: readonly ProcessRecord[] = [];
  return {
    async prepare(mesh) {
      await mesh.kubectlApply(LOCAL, SLOW);
      await reached("the third endpoint is ready", async () => (await counted(mesh)).includes(`${LOCAL}=3/3`));
      const pods = await mesh.json<Pods>(LOCAL, "-n", "shop", "pods", "-l", "pace=slow");
      const [uid = ""] = pods.items.map(({ metadata }) => metadata.uid);
      victims = mesh.records(LOCAL).filter(({ name }) => name === `pod-${uid}-web`);
      if (victims.length !== 1) throw new Error("Cannot slow the third endpoint: its process is not to be found.");
    },
    async inject() {
      for (const victim of victims) signalRecord(victim, "SIGUSR2");
    },
    async heal(mesh) {
      await mesh.kubectl(LOCAL, "-n", "shop", "delete", "deployment", "web-slow", "--ignore-not-found");
    },
  };
}

/** The supervisors are stopped meanwhile, or they would start everything again. */
function withoutControl(): Pick<FailoverCase, "aim" | "inject" | "heal"> {
  const roles = ["control", "mirror", "redis"];
  let supervisors: readonly ProcessRecord[] = [];
  let victims: readonly ProcessRecord[] = [];
  return {
    async aim(mesh) {
      const all = (names: readonly string[]) => mesh.clusters.flatMap((cluster) => named(mesh, cluster, names));
      victims = await reached("all roles run", () => {
        const found = all(roles);
        return found.length === roles.length * mesh.clusters.length ? found : undefined;
      });
      supervisors = all([SUPERVISOR]);
    },
    async inject() {
      for (const supervisor of supervisors) signalRecord(supervisor, "SIGSTOP");
      for (const victim of victims) signalRecord(victim, "SIGKILL");
    },
    async heal() {
      for (const supervisor of supervisors) signalRecord(supervisor, "SIGCONT");
    },
  };
}

function flapping(): Pick<FailoverCase, "aim" | "inject" | "heal"> {
  const find = (mesh: LocalMesh) => named(mesh, REMOTE, ["gateway"]);
  const stop = signalled("SIGSTOP", "SIGCONT", find);
  return {
    ...stop,
    async inject(mesh) {
      for (let flap = 0; flap < FLAPS; flap++) {
        await stop.inject(mesh);
        await pause(FLAP_MS);
        await stop.heal(mesh);
        if (flap < FLAPS - 1) await pause(FLAP_MS);
      }
    },
  };
}

function named(mesh: LocalMesh, cluster: string, names: readonly string[]): ProcessRecord[] {
  return mesh.records(cluster).filter(({ name }) => names.includes(name));
}

function counted(mesh: LocalMesh): Promise<string> {
  const path = "jsonpath={.metadata.annotations}";
  return mesh.kubectl(LOCAL, "-n", "shop", "get", "serviceimport", "web", "-o", path);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Both clusters, linked; web of both behind one name. What was lost comes back within about two seconds, in place of
 * ten or twenty, and links forgive as soon, so that one repetition does not hold down the next.
 */
export async function startFailoverMesh(start: (env: NodeJS.ProcessEnv) => Promise<LocalMesh>): Promise<LocalMesh> {
  const mesh = await start({ MESH_LINK_HEALTH: "forgive=1s,ramp=500ms", MESH_FAILBACK: "500ms" });
  await mesh.meshOutput("link", "--context", REMOTE);
  for (const cluster of mesh.clusters) await mesh.meshOutput("export", "shop/web", "--context", cluster);
  await mesh.answered(LOCAL, `web-${REMOTE}.shop.svc.cluster.local`, REMOTE);
  await reached("endpoints are counted", async () => {
    const text = await counted(mesh);
    return text.includes(`${REMOTE}=2/2`) && text.includes(`${LOCAL}=2/2`);
  });
  return mesh;
}
