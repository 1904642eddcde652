import { meshCommand } from "../../cli/mesh-command.ts";
import { killProcesses, startSupervisor } from "../../clusters/local-cluster.ts";
import { ownedProcesses, type ProcessRecord, signalRecord } from "../../clusters/process-record.ts";
import { type LocalMesh, reached } from "../../test/support/local-mesh.ts";

/** Where the client is; the other cluster is `REMOTE`. */
export const LOCAL = "west";
export const REMOTE = "east";

/** A fault under traffic from `LOCAL`'s client to the federated name. */
export interface FailoverCase {
  readonly name: string;
  /** The cluster that answers before the fault. */
  readonly first: typeof LOCAL | typeof REMOTE;
  /** Whether another has to answer from then on. */
  readonly moves: boolean;
  readonly holdMs: number;
  /** What takes its time and is no part of the fault. */
  prepare?(mesh: LocalMesh): Promise<void>;
  inject(mesh: LocalMesh): Promise<void>;
  heal(mesh: LocalMesh): Promise<void>;
}

interface Pods {
  readonly items: readonly { readonly metadata: { readonly uid: string } }[];
}

const HOLD_MS = 3_000;
const FLAPS = 4;
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
      terminationGracePeriodSeconds: 5
      containers:
        - name: web
          image: causeway.dev/sample-web:1
          env: [{ name: SLOW_MS, value: "2000" }]
          ports: [{ name: http, containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /ready, port: http } }
`;

/** As the drills and the design name them; a fault that these clusters cannot have is not among them. */
export function failoverCases(): FailoverCase[] {
  const remote = { first: REMOTE, moves: true, holdMs: HOLD_MS } as const;
  const local = { first: LOCAL, moves: false, holdMs: HOLD_MS } as const;
  const gateway = (signal: NodeJS.Signals) => async (mesh: LocalMesh) => signalNamed(mesh, REMOTE, ["gateway"], signal);
  let victims: readonly ProcessRecord[] = [];
  const roles = ["control", "mirror", "redis"];
  return [
    {
      ...{ name: "all local pods SIGKILLed", ...local, moves: true },
      async prepare(mesh) {
        const pods = await mesh.json<Pods>(LOCAL, "-n", "shop", "pods", "-l", "app=web");
        const uids = pods.items.map(({ metadata }) => `pod-${metadata.uid}-`);
        victims = mesh.records(LOCAL).filter(({ name }) => uids.some((uid) => name.startsWith(uid)));
      },
      async inject() {
        for (const record of victims) signalRecord(record, "SIGKILL");
      },
      async heal() {},
    },
    { name: "remote gateway SIGKILLed (the only one)", ...remote, inject: gateway("SIGKILL"), async heal() {} },
    {
      ...{ name: "remote cluster's processes SIGKILLed", ...remote },
      async inject(mesh) {
        killProcesses(mesh.layout(REMOTE));
      },
      async heal(mesh) {
        await startSupervisor(mesh.layout(REMOTE), meshCommand());
      },
    },
    {
      ...{ name: "remote cluster stopped (all of it SIGSTOP)", ...remote },
      inject: async (mesh) => signalAll(mesh, REMOTE, "SIGSTOP"),
      heal: async (mesh) => signalAll(mesh, REMOTE, "SIGCONT"),
    },
    { name: "gateway hung (SIGSTOP)", ...remote, inject: gateway("SIGSTOP"), heal: gateway("SIGCONT") },
    {
      ...{ name: "one endpoint slow (2 s)", ...local, holdMs: 8_000 },
      inject: async (mesh) => {
        await mesh.kubectlApply(LOCAL, SLOW);
      },
      heal: async (mesh) => {
        await mesh.kubectl(LOCAL, "-n", "shop", "delete", "deployment", "web-slow");
      },
    },
    {
      ...{ name: "control, mirror, registry stopped", ...local, holdMs: 10_000 },
      inject: async (mesh) => signalNamed(mesh, LOCAL, roles, "SIGSTOP"),
      heal: async (mesh) => signalNamed(mesh, LOCAL, roles, "SIGCONT"),
    },
    {
      ...{ name: "link flapping each second", ...remote, holdMs: 0 },
      async inject(mesh) {
        for (let flap = 0; flap < FLAPS; flap++) {
          for (const signal of ["SIGSTOP", "SIGCONT"] as const) {
            signalNamed(mesh, REMOTE, ["gateway"], signal);
            await new Promise((resolve) => setTimeout(resolve, 1_100));
          }
        }
      },
      async heal() {},
    },
  ];
}

function signalNamed(mesh: LocalMesh, cluster: string, names: readonly string[], signal: NodeJS.Signals): void {
  for (const record of mesh.records(cluster)) if (names.includes(record.name)) signalRecord(record, signal);
}

function signalAll(mesh: LocalMesh, cluster: string, signal: NodeJS.Signals): void {
  for (const record of ownedProcesses(mesh.layout(cluster).directory)) process.kill(record.pid, signal);
}

/** Both clusters, linked; web of both behind one name. Links forgive soon, so that one repetition does not slow the next. */
export async function startFailoverMesh(start: (env: NodeJS.ProcessEnv) => Promise<LocalMesh>): Promise<LocalMesh> {
  const mesh = await start({ MESH_LINK_HEALTH: "forgive=1s" });
  await mesh.meshOutput("link", "--context", REMOTE);
  for (const cluster of mesh.clusters) await mesh.meshOutput("export", "shop/web", "--context", cluster);
  await mesh.answered(LOCAL, `web-${REMOTE}.shop.svc.cluster.local`, REMOTE);
  await reached("endpoints are counted", async () => {
    const text = await mesh.kubectl(
      LOCAL,
      "-n",
      "shop",
      "get",
      "serviceimport",
      "web",
      "-o",
      "jsonpath={.metadata.annotations}",
    );
    return text.includes("east=2/2") && text.includes("west=2/2");
  });
  return mesh;
}
