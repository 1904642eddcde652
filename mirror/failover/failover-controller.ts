import type { Clock } from "../../core/clock.ts";
import { errorText } from "../../core/errors.ts";
import { failoverProblems } from "../../core/failover.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import type { Informer, KubeClient } from "../../kube/client.ts";
import { FAILOVER_POLICIES, type FailoverPolicyObject } from "../../kube/resources.ts";
import { LOCAL_FAILOVER, stateKey } from "../../registry/state.ts";
import type { ClusterCache } from "../cluster-cache.ts";
import { Coalescer } from "../coalescer.ts";
import type { StateWriter } from "../state-port.ts";
import { StepApplier } from "../step-applier.ts";
import { policyConditions, policyOf, policyStatusStep } from "./failover-status.ts";

interface FailoverDeps {
  /** Our own. */
  readonly cluster: string;
  readonly cache: ClusterCache;
  readonly writer: StateWriter;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Least time between two passes; the first change after a pause is not held back. */
const SPACING_MS = 25;

/** Keeps `local/failover/` equal to what FailoverPolicies say, and their conditions to what became of them. */
export class FailoverController {
  readonly #deps: FailoverDeps;
  readonly #informer: Informer<FailoverPolicyObject>;
  readonly #passes: Coalescer;
  readonly #applier: StepApplier;

  constructor(deps: FailoverDeps) {
    this.#deps = deps;
    const { cache, writer, kube, clock, random, log } = deps;
    // A cluster whose definitions or roles are of an earlier version has none, and all else goes on.
    this.#informer = kube.informer<FailoverPolicyObject>(FAILOVER_POLICIES, { optional: true });
    const mark = () => this.#passes.mark();
    this.#passes = new Coalescer({
      clock,
      spacingMs: SPACING_MS,
      run: () => this.#pass(),
      onError: (error) => log.error("failover.failed", { reason: errorText(error) }),
    });
    this.#applier = new StepApplier({ kube, clock, random, log, onRefusalsChanged: () => {} });
    this.#informer.onEvent(mark);
    // Links and ServiceImports come and go; without policies there is nothing that they matter to.
    for (const informer of [cache.links, cache.imports])
      informer.onEvent(() => {
        if (this.#informer.list().length > 0) mark();
      });
    writer.onLeadership(mark);
  }

  /** Resolves once the policies are known; until then what the registry holds of them stays. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#informer.start(signal);
    this.#passes.mark();
  }

  async close(): Promise<void> {
    this.#passes.close();
    await this.#applier.close();
  }

  #pass(): void {
    const { cluster, cache, writer, clock } = this.#deps;
    if (!this.#informer.synced) return;
    const values = new Map<string, string>();
    const clusters = [cluster, ...cache.links.list().map(({ spec }) => spec.cluster)];
    const steps = this.#informer.list().flatMap((object) => {
      const { namespace = "", name } = object.metadata;
      const policy = policyOf(object);
      if (failoverProblems(policy).length === 0)
        values.set(stateKey(LOCAL_FAILOVER, namespace, name), LOCAL_FAILOVER.encode(policy));
      const federated = cache.imports.get(name, namespace) !== undefined;
      return policyStatusStep(object, policyConditions(object, clusters, federated), () => clock.wallMs()) ?? [];
    });
    writer.replacePrefix(LOCAL_FAILOVER.prefix, values);
    this.#applier.plan(writer.leading && cache.synced ? steps : []);
  }
}
