import { isDeepStrictEqual } from "node:util";
import { backoffMs, RECONNECT } from "../core/backoff.ts";
import { sleep } from "../core/clock.ts";
import { asMeshError } from "../core/errors.ts";
import { createTransport } from "../transport/create-transport.ts";
import { MuxContext } from "../transport/mux/mux-context.ts";
import type { Transport } from "../transport/transport.ts";
import { Hops } from "./hops.ts";
import type { AdminServer } from "./observe/admin-server.ts";
import { escapeLabel } from "./observe/families.ts";
import { ADMIN_DRAIN_MS, listenProxyAdmin } from "./observe/proxy-admin.ts";
import type { ProxyDeps } from "./start-proxy.ts";
import { TurnLimit } from "./turn-limit.ts";
import { type WorkloadDeps, type WorkloadOptions, WorkloadProxy } from "./workload-proxy.ts";

export interface NodeProxyOptions {
  readonly admin: { readonly host: string; readonly port: number };
  readonly adapter: "auto" | "handle" | "net";
  /** How long the requests of a workload that is taken away may go on. */
  readonly drainMs: number;
}

/** Some 2 ms of work: what a flood in one workload may add to a turn that the others wait for. */
const REQUESTS_PER_TURN = 128;

/** "<namespace>/<pod>" */
type WorkloadName = string;

function nameOf({ workload }: WorkloadOptions): WorkloadName {
  return `${workload.namespace}/${workload.pod}`;
}

/** One of the workloads: its proxy, started again until it runs. */
class Served {
  readonly options: WorkloadOptions;
  /** For its metrics. */
  readonly labels: string;
  readonly #name: WorkloadName;
  readonly #deps: WorkloadDeps;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #workload: WorkloadProxy;

  constructor(options: WorkloadOptions, deps: Omit<WorkloadDeps, "signal">) {
    const { namespace, pod } = options.workload;
    this.options = options;
    this.labels = `workload_namespace="${escapeLabel(namespace)}",workload_pod="${escapeLabel(pod)}"`;
    this.#name = nameOf(options);
    this.#deps = {
      ...deps,
      log: deps.log.child({ workload: this.#name }),
      turns: new TurnLimit(REQUESTS_PER_TURN),
      signal: this.#stop.signal,
    };
    this.#workload = new WorkloadProxy(options, this.#deps);
    this.#running = this.#run();
  }

  get workload(): WorkloadProxy {
    return this.#workload;
  }

  async #run(): Promise<void> {
    const { clock, random, log, signal } = this.#deps;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await this.#workload.start();
        return;
      } catch (error) {
        await this.#workload.close();
        if (signal.aborted) return;
        const { code, message } = asMeshError(error, "INTERNAL", `serve ${this.#name}`);
        log.error("workload.failed", { code, error: message, attempt });
        // Its ports may still be held by the one that it replaces.
        await sleep(clock, backoffMs(attempt, RECONNECT, random), signal).catch(() => {});
        if (!signal.aborted) this.#workload = new WorkloadProxy(this.options, this.#deps);
      }
    }
  }

  /** Cuts it. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#workload.close();
  }
}

/**
 * The workloads of a node in one process, each with an identity, ports, limits, policy and metrics of its own; what
 * fails in one is tried again there and leaves the others alone.
 */
export class NodeProxy {
  readonly #options: NodeProxyOptions;
  readonly #deps: ProxyDeps;
  readonly #transport: Transport;
  readonly #mux: MuxContext;
  readonly #hops = new Hops();
  readonly #served = new Map<WorkloadName, Served>();
  /** Workloads that were taken away and still drain. */
  readonly #leaving = new Set<Promise<void>>();
  #admin: AdminServer | undefined;
  #closed = false;

  /** @throws MeshError PORT_IN_USE where the admin port is taken */
  static async start(options: NodeProxyOptions, deps: ProxyDeps): Promise<NodeProxy> {
    const { log, clock, signal } = deps;
    const node = new NodeProxy(options, deps, await createTransport({ adapter: options.adapter, log, clock }));
    node.#admin = await listenProxyAdmin(options.admin.host, options.admin.port, {
      workloads: () => [...node.#served.values()],
      config: () => Object.fromEntries([...node.#served].map(([name, { workload }]) => [name, workload.config()])),
      drain: () => void node.drain(ADMIN_DRAIN_MS),
    });
    signal.addEventListener("abort", () => void node.close(), { once: true });
    return node;
  }

  constructor(options: NodeProxyOptions, deps: ProxyDeps, transport: Transport) {
    this.#options = options;
    this.#deps = deps;
    this.#transport = transport;
    this.#mux = new MuxContext({ wheel: transport.wheel, log: deps.log });
  }

  get adminPort(): number {
    return this.#admin?.port ?? 0;
  }

  /** Where each workload is served; ports are 0 until it is. */
  get workloads(): ReadonlyMap<WorkloadName, { readonly outboundPort: number; readonly inboundPort: number }> {
    return new Map([...this.#served].map(([name, { workload }]) => [name, workload]));
  }

  /** Has exactly `wanted` served: new ones start, others that are gone drain, those that changed are replaced. */
  update(wanted: readonly WorkloadOptions[]): void {
    if (this.#closed) return;
    const byName = new Map(wanted.map((options) => [nameOf(options), options]));
    for (const [name, served] of this.#served) {
      const options = byName.get(name);
      if (options !== undefined && isDeepStrictEqual(options, served.options)) byName.delete(name);
      else this.#take(name, served);
    }
    const deps = {
      ...this.#deps,
      transport: this.#transport,
      mux: this.#mux,
      hops: this.#hops,
      reservedPorts: [this.adminPort],
    };
    for (const [name, options] of byName) this.#served.set(name, new Served(options, deps));
  }

  #take(name: WorkloadName, served: Served): void {
    this.#served.delete(name);
    this.#deps.log.info("workload.removed", { workload: name });
    const leaving = (async () => {
      await served.workload.drain(this.#options.drainMs);
      await served.close();
    })();
    this.#leaving.add(leaving);
    void leaving.finally(() => this.#leaving.delete(leaving));
  }

  /** Lets the requests of all workloads end. */
  async drain(deadlineMs: number): Promise<void> {
    await Promise.all([
      ...[...this.#served.values()].map(({ workload }) => workload.drain(deadlineMs)),
      ...this.#leaving,
    ]);
  }

  /** Cuts everything and frees all. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...[...this.#served.values()].map((served) => served.close()), ...this.#leaving]);
    await this.#admin?.close();
  }
}
