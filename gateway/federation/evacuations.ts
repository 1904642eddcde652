import type { Clock } from "../../core/clock.ts";
import { errorText } from "../../core/errors.ts";
import { drainedShare, type EvacuationPlan, evacuationPlan, nextStepMs } from "../../core/evacuation.ts";
import type { Log } from "../../core/log.ts";
import type { Informer, KubeClient } from "../../kube/client.ts";
import { EVACUATIONS, type Evacuation } from "../../kube/resources.ts";
import { LOCAL_DRAINS, stateKey } from "../../registry/state.ts";
import type { StateWriter } from "./peer-imports.ts";

interface EvacuationDeps {
  /** Our own. */
  readonly cluster: string;
  readonly kube: KubeClient;
  readonly writer: Pick<StateWriter, "replacePrefix">;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Which clusters' traffic is to go elsewhere, as Evacuations say: a function of them and of the time, the same on every
 * replica and after each restart. Our own share goes into the registry and to peers with each heartbeat; that of a
 * peer is added to the state of its link.
 */
export class Evacuations {
  readonly #deps: EvacuationDeps;
  readonly #informer: Informer<Evacuation>;
  readonly #listeners = new Set<() => void>();
  readonly #stop: () => void;
  #plans = new Map<string, EvacuationPlan>();
  #shares = new Map<string, number>();
  #cancel = () => {};

  constructor(deps: EvacuationDeps) {
    this.#deps = deps;
    this.#informer = deps.kube.informer<Evacuation>(EVACUATIONS, { optional: true });
    this.#stop = this.#informer.onEvent(() => this.#read());
  }

  /** Resolves once the Evacuations are known; until then nothing is drained, and nothing is said of it. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#informer.start(signal);
    this.#read();
  }

  close(): void {
    this.#cancel();
    this.#stop();
  }

  /** Of the traffic of `cluster`, 0 to 1. */
  share(cluster: string): number {
    return this.#shares.get(cluster) ?? 0;
  }

  /** Every cluster of which some traffic is drained. */
  get shares(): ReadonlyMap<string, number> {
    return this.#shares;
  }

  /** Calls `listener` each time that some share changed. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #read(): void {
    if (!this.#informer.synced) return;
    const nowMs = this.#deps.clock.wallMs();
    const plans = new Map<string, EvacuationPlan>();
    for (const { metadata, spec = {} } of this.#informer.list()) {
      if (metadata.deletionTimestamp !== undefined) continue;
      const createdMs = Date.parse(metadata.creationTimestamp ?? "");
      plans.set(metadata.name, evacuationPlan(spec, Number.isNaN(createdMs) ? nowMs : createdMs));
    }
    this.#plans = plans;
    this.#step();
  }

  #step(): void {
    this.#cancel();
    const { clock, log, writer, cluster } = this.#deps;
    const nowMs = clock.wallMs();
    const shares = new Map<string, number>();
    const waits: number[] = [];
    for (const [name, plan] of this.#plans) {
      const share = drainedShare(plan, nowMs);
      const waitMs = nextStepMs(plan, nowMs);
      if (share > 0) shares.set(name, share);
      if (waitMs !== undefined) waits.push(waitMs);
      else if (!plan.out) this.#forget(name);
    }
    const changed = [...new Set([...shares.keys(), ...this.#shares.keys()])].filter(
      (name) => shares.get(name) !== this.#shares.get(name),
    );
    this.#shares = shares;
    const own = shares.get(cluster);
    const drains = own === undefined ? [] : [[stateKey(LOCAL_DRAINS, cluster), LOCAL_DRAINS.encode({ share: own })]];
    writer.replacePrefix(LOCAL_DRAINS.prefix, new Map(drains as [string, string][]));
    for (const name of changed) {
      const drained = shares.get(name) ?? 0;
      log.info("evacuation.share", { cluster: name, share: drained });
      if (this.#plans.has(name)) this.#tell(name, drained);
    }
    if (changed.length > 0) for (const listener of this.#listeners) listener();
    if (waits.length > 0) this.#cancel = clock.after(Math.min(...waits), () => this.#step());
  }

  /** For whoever looks; nothing hangs on it. */
  #tell(name: string, drained: number): void {
    const { kube, log } = this.#deps;
    kube
      .mergePatchStatus(EVACUATIONS, name, undefined, { status: { drained } })
      .catch((error: unknown) => log.debug("evacuation.not_told", { cluster: name, reason: errorText(error) }));
  }

  /** Its traffic is back: the intent is fulfilled. */
  #forget(name: string): void {
    const { kube, log } = this.#deps;
    const uid = this.#informer.get(name)?.metadata.uid;
    kube
      .delete(EVACUATIONS, name, undefined, uid === undefined ? {} : { uid })
      .catch((error: unknown) => log.debug("evacuation.not_deleted", { cluster: name, reason: errorText(error) }));
  }
}
