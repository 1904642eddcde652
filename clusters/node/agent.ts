import { mkdirSync } from "node:fs";
import { type Clock, every, sleep } from "../../core/clock.ts";
import { LABELS } from "../../core/defaults.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Informer, KubeClient, KubeObject } from "../../kube/client.ts";
import { readPublishedTrust } from "../../kube/published-trust.ts";
import { NAMESPACES, NODES, PODS, type Pod } from "../../kube/resources.ts";
import type { ClusterLayout } from "../layout.ts";
import { isRunning, runningRecords, signalRecord } from "../process-record.ts";
import { startKubeletServer } from "./kubelet-server.ts";
import { POD_RECORD, PodRunner } from "./pod-runner.ts";
import type { ProcessCommand, SidecarSettings } from "./sidecar-settings.ts";

export interface NodeAgentOptions {
  readonly layout: ClusterLayout;
  readonly kube: KubeClient;
  readonly mesh: ProcessCommand;
  readonly control: string;
  readonly owner: string;
  readonly logLevel: string | undefined;
  readonly failback: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Pods get 127.<octet>.1.1 and up, to 127.<octet>.100.250. */
const POD_ADDRESSES = 100 * 250;
const HEARTBEAT_MS = 10_000;
const ZONE_LABEL = "topology.kubernetes.io/zone";
const TRUST_RETRY_MS = 100;
const LEFT_BEHIND_MS = 20;

/** Registers the node and runs, as processes, the Pods that are bound to it; until `signal` aborts. */
export async function runNodeAgent(options: NodeAgentOptions, signal: AbortSignal): Promise<void> {
  const agent = new NodeAgent(options);
  await agent.run(signal);
}

class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #node: string;
  readonly #runners = new Map<string, PodRunner>();
  readonly #ending = new Map<string, Promise<void>>();
  readonly #addresses = new Set<string>();
  #nextAddress = 0;
  #namespaces: Informer<KubeObject> | undefined;

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    this.#node = `${options.layout.cluster}-node`;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { kube, layout, owner, log, clock } = this.#options;
    mkdirSync(layout.podDirectory, { recursive: true, mode: 0o700 });
    await this.#endLeftBehind(signal);
    const server = await startKubeletServer({
      socket: layout.kubeletSocket,
      owner,
      log,
      find: (namespace, pod, container) => this.#find(namespace, pod)?.access(container),
    });
    await this.#register(signal);
    const stopHeartbeat = every(clock, HEARTBEAT_MS, () => {
      this.#heartbeat().catch((error: unknown) => log.warn("node.heartbeat", { error: errorText(error) }));
    });
    this.#namespaces = kube.informer(NAMESPACES);
    const pods = kube.informer<Pod>(PODS, { fieldSelector: `spec.nodeName=${this.#node}` });
    await Promise.all([this.#namespaces.start(signal), pods.start(signal)]);
    const stopPods = pods.onEvent((event) => {
      if (event.type === "delete") this.#vanished(event.object);
      else this.#seen(event.object, signal);
    });
    log.info("node.ready", { cluster: layout.cluster, node: this.#node });
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    stopPods();
    stopHeartbeat();
    await Promise.all([...this.#runners.values()].map((runner) => runner.stop(2_000)));
    await Promise.all(this.#ending.values());
    await server.close();
  }

  /** Containers of an agent that died without ending them: they hold the addresses, and nobody reads what they log. */
  async #endLeftBehind(signal: AbortSignal): Promise<void> {
    const { layout, clock, log } = this.#options;
    const left = runningRecords(layout.runDirectory).filter(({ name }) => name.startsWith(POD_RECORD));
    for (const record of left) signalRecord(record, "SIGKILL");
    while (left.some(isRunning)) await sleep(clock, LEFT_BEHIND_MS, signal);
    if (left.length > 0) log.info("node.left_behind", { containers: left.length });
  }

  #find(namespace: string, pod: string): PodRunner | undefined {
    return this.#runners.get(`${namespace}/${pod}`);
  }

  #seen(pod: Pod, signal: AbortSignal): void {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    const running = this.#runners.get(key);
    if (pod.metadata.deletionTimestamp !== undefined) {
      const grace = (pod.metadata as { deletionGracePeriodSeconds?: number }).deletionGracePeriodSeconds ?? 30;
      this.#end(key, pod, running, grace * 1000);
      return;
    }
    running?.update(pod);
    const done = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    if (running !== undefined || done || this.#ending.has(key)) return;
    this.#start(key, pod, signal);
  }

  #start(key: string, pod: Pod, signal: AbortSignal): void {
    const { log, clock } = this.#options;
    const podIp = this.#takeAddress();
    const begin = async () => {
      const sidecar = this.#isMeshed(pod) ? await this.#sidecar(signal) : undefined;
      const { kube, layout, owner } = this.#options;
      const { cluster, podDirectory, runDirectory } = layout;
      const runner = new PodRunner(pod, podIp, {
        kube,
        cluster,
        node: this.#node,
        hostIp: layout.node,
        podDirectory,
        runDirectory,
        owner,
        sidecar,
        clock,
        log,
      });
      // Deleted while its sidecar's settings were awaited.
      if (!this.#addresses.has(podIp) || signal.aborted) return;
      this.#runners.set(key, runner);
      for (let attempt = 0; ; attempt++) {
        try {
          await runner.start();
          return;
        } catch (error) {
          if (signal.aborted || this.#runners.get(key) !== runner) return;
          log.warn("node.pod.start", { pod: key, error: errorText(error), attempt });
          await sleep(clock, Math.min(5_000, 200 * 2 ** attempt), signal).catch(() => undefined);
        }
      }
    };
    begin().catch((error: unknown) => log.error("node.pod.start", { pod: key, error: errorText(error) }));
  }

  #end(key: string, pod: Pod, runner: PodRunner | undefined, graceMs: number): void {
    if (this.#ending.has(key)) return;
    this.#runners.delete(key);
    const ended = (async () => {
      await runner?.stop(graceMs);
      if (runner !== undefined) this.#addresses.delete(runner.podIp);
      const { uid, name, namespace } = pod.metadata;
      await this.#options.kube.delete(PODS, name, namespace, {
        gracePeriodSeconds: 0,
        ...(uid === undefined ? {} : { uid }),
      });
    })();
    this.#ending.set(
      key,
      ended
        .catch((error: unknown) => this.#options.log.warn("node.pod.end", { pod: key, error: errorText(error) }))
        .finally(() => this.#ending.delete(key)),
    );
  }

  /** Deleted with no grace: its processes are killed at once. */
  #vanished(pod: Pod): void {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    const runner = this.#runners.get(key);
    if (runner === undefined) return;
    this.#runners.delete(key);
    this.#ending.set(
      key,
      runner.stop(0).finally(() => {
        this.#addresses.delete(runner.podIp);
        this.#ending.delete(key);
      }),
    );
  }

  #isMeshed(pod: Pod): boolean {
    const own = pod.metadata.annotations?.[LABELS.inject] ?? pod.metadata.labels?.[LABELS.inject];
    const namespace = this.#namespaces?.get(pod.metadata.namespace ?? "default");
    return (own ?? namespace?.metadata.labels?.[LABELS.inject]) === "enabled";
  }

  /** Waits until control has published the root: a sidecar without it could verify nothing. */
  async #sidecar(signal: AbortSignal): Promise<SidecarSettings> {
    const { kube, mesh, control, logLevel, failback, clock, log } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        const trust = await readPublishedTrust(kube);
        if (trust !== undefined) {
          const zone = (await kube.get(NODES, this.#node))?.metadata.labels?.[ZONE_LABEL] ?? "";
          return { mesh, control, trustDomain: trust.trustDomain, trustPem: trust.rootPem, zone, logLevel, failback };
        }
      } catch (error) {
        log.warn("node.trust", { error: errorText(error), attempt });
      }
      await sleep(clock, TRUST_RETRY_MS, signal);
    }
  }

  #takeAddress(): string {
    for (let tries = 0; tries < POD_ADDRESSES; tries++) {
      const n = this.#nextAddress++ % POD_ADDRESSES;
      const address = `127.${this.#options.layout.octet}.${1 + Math.floor(n / 250)}.${1 + (n % 250)}`;
      if (this.#addresses.has(address)) continue;
      this.#addresses.add(address);
      return address;
    }
    throw new MeshError("LIMIT_EXCEEDED", `Cannot run more than ${POD_ADDRESSES} pods on one local node.`);
  }

  async #register(signal: AbortSignal): Promise<void> {
    const { kube, clock, log } = this.#options;
    for (;;) {
      try {
        if ((await kube.get(NODES, this.#node)) === undefined) {
          const labels = { "kubernetes.io/hostname": this.#node, "kubernetes.io/os": process.platform };
          await kube.create(NODES, { apiVersion: "v1", kind: "Node", metadata: { name: this.#node, labels } });
        }
        await this.#heartbeat();
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        log.warn("node.register", { error: errorText(error) });
        await sleep(clock, 200, signal);
      }
    }
  }

  async #heartbeat(): Promise<void> {
    const { kube, layout, clock } = this.#options;
    const now = new Date(clock.wallMs()).toISOString().replace(/\.\d{3}Z$/, "Z");
    const capacity = { cpu: "2", memory: "4Gi", pods: String(POD_ADDRESSES) };
    await kube.mergePatchStatus(NODES, this.#node, undefined, {
      status: {
        addresses: [
          { type: "InternalIP", address: layout.node },
          { type: "Hostname", address: this.#node },
        ],
        capacity,
        allocatable: capacity,
        conditions: [
          {
            type: "Ready",
            status: "True",
            reason: "KubeletReady",
            message: "processes run",
            lastHeartbeatTime: now,
            lastTransitionTime: now,
          },
        ],
        nodeInfo: {
          kubeletVersion: `node-${process.version}`,
          operatingSystem: process.platform,
          architecture: process.arch,
        },
      },
    });
  }
}
