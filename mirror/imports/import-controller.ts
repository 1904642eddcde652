import { type Clock, every } from "../../core/clock.ts";
import { errorText } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import { type LocalService, type ServiceKey, serviceKey } from "../../core/service.ts";
import type { KubeClient, KubeObject } from "../../kube/client.ts";
import { SERVICE_EXPORTS, type ServiceExportObject } from "../../kube/resources.ts";
import { LOCAL_SERVICES, PEER_SERVICES } from "../../registry/state.ts";
import type { ClusterCache } from "../cluster-cache.ts";
import { Coalescer } from "../coalescer.ts";
import { withConditions } from "../conditions.ts";
import { exportConditions } from "../exports/export-status.ts";
import { isRefusedExport, RefusalEvents } from "../exports/refusal-events.ts";
import { originOf } from "../ownership.ts";
import type { StateReader, StateWriter } from "../state-port.ts";
import { StepApplier } from "../step-applier.ts";
import { type Step, stepKey } from "../steps.ts";
import { planImports } from "./import-plan.ts";
import { finalizerStep, type LinkFacts, linkStatusStep } from "./link-status.ts";
import { type MirrorPlan, planMirrors } from "./mirror-plan.ts";
import { PeerReader } from "./peer-reader.ts";
import type { Peer } from "./peers.ts";

interface ImportDeps {
  readonly cluster: string;
  readonly cache: ClusterCache;
  readonly view: StateReader;
  readonly writer: Pick<StateWriter, "leading" | "onLeadership">;
  readonly kube: KubeClient;
  /** A Service of this cluster as it is exported. */
  local(key: ServiceKey): LocalService | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Least time between two plans over everything; the first change after a pause is not held back. */
const SPACING_MS = 25;
/** The whole is looked at this often even if nothing seems to have changed. */
const RECHECK_MS = 30_000;

/**
 * Registry to Kubernetes: mirrors, ServiceImports, and what Links and ServiceExports say of them. Each change leads to
 * a plan from the whole state; only the lease's holder carries plans out.
 */
export class ImportController {
  readonly #deps: ImportDeps;
  readonly #applier: StepApplier;
  readonly #passes: Coalescer;
  readonly #peers: PeerReader;
  readonly #events: RefusalEvents;
  readonly #stopRechecks: () => void;

  constructor(deps: ImportDeps) {
    this.#deps = deps;
    const { cache, view, writer, kube, clock, random, log } = deps;
    const mark = () => this.#passes.mark();
    this.#passes = new Coalescer({
      clock,
      spacingMs: SPACING_MS,
      run: () => this.#pass(),
      onError: (error) => log.error("import.failed", { reason: errorText(error) }),
    });
    this.#applier = new StepApplier({ kube, clock, random, log, onRefusalsChanged: mark });
    this.#peers = new PeerReader({ cluster: deps.cluster, view, clock, recheck: mark });
    this.#events = new RefusalEvents({ kube, clock, log });
    cache.onChange(mark);
    view.onChange(mark);
    writer.onLeadership(mark);
    this.#stopRechecks = every(clock, RECHECK_MS, mark);
  }

  async close(): Promise<void> {
    this.#stopRechecks();
    this.#passes.close();
    await this.#applier.close();
  }

  #pass(): void {
    const { cache, writer } = this.#deps;
    // Before everything is listed, what is missing says nothing. A replica that does not lead keeps its hands off.
    if (!cache.synced || !writer.leading) {
      this.#applier.plan([]);
      return;
    }
    const peers = this.#peers.read(cache.links.list());
    const plan = planMirrors({
      peers,
      hasNamespace: (namespace) => cache.hasNamespace(namespace),
      service: (namespace, name) => cache.services.get(name, namespace),
      mirrors: cache.mirrors(),
      slices: cache.mirrorSlices(),
    });
    const steps = [...plan.steps, ...this.#importSteps(peers), ...this.#exportSteps(peers), ...this.#linkSteps(plan)];
    this.#applier.plan(steps);
    this.#tellRefusals();
  }

  #importSteps(peers: readonly Peer[]): Step[] {
    const { cluster, cache, local, clock } = this.#deps;
    return planImports({
      cluster,
      peers,
      own: cache.exports.list().flatMap((object) => local(keyOf(object)) ?? []),
      hasNamespace: (namespace) => cache.hasNamespace(namespace),
      service: (namespace, name) => cache.services.get(name, namespace),
      slicesOf: (key) => cache.slicesOf(key),
      imports: cache.imports.list(),
      derived: cache.derived(),
      derivedSlices: cache.derivedSlices(),
      nowMs: () => clock.wallMs(),
    });
  }

  #exportSteps(peers: readonly Peer[]): Step[] {
    const { cluster, cache, view, clock } = this.#deps;
    if (!view.synced) return [];
    return cache.exports.list().flatMap((serviceExport): Step[] => {
      const { namespace = "", name } = serviceExport.metadata;
      const conditions = exportConditions({
        serviceExport,
        service: cache.services.get(name, namespace),
        registered: view.get(LOCAL_SERVICES, namespace, name),
        others: peers
          .filter((peer) => peer.importing)
          .flatMap((peer) => view.get(PEER_SERVICES, peer.cluster, namespace, name) ?? [])
          .filter((service) => service.clusterset),
        cluster,
      });
      const edit = (current: KubeObject): KubeObject | undefined => {
        const { status } = current as ServiceExportObject;
        const next = withConditions(status?.conditions, conditions, clock.wallMs());
        return next && ({ ...current, status: { ...status, conditions: next } } as ServiceExportObject);
      };
      if (edit(serviceExport) === undefined) return [];
      const what = JSON.stringify(conditions);
      return [{ type: SERVICE_EXPORTS, namespace, name, action: "edit", part: "status", what, edit }];
    });
  }

  #linkSteps(plan: MirrorPlan): Step[] {
    const { cache, view, clock } = this.#deps;
    const refusals = this.#refusalsByCluster(plan);
    return cache.links.list().flatMap((link) => {
      const { cluster } = link.spec;
      const facts: LinkFacts = {
        problems: plan.problems.get(cluster) ?? [],
        shortened: plan.shortened.get(cluster) ?? [],
        refusals: refusals.get(cluster) ?? [],
      };
      const known = link.metadata.deletionTimestamp === undefined && view.synced;
      const status = known ? linkStatusStep(link, facts, () => clock.wallMs()) : undefined;
      const finalizer = finalizerStep(link, plan.present.has(cluster));
      return [status, finalizer].filter((step) => step !== undefined);
    });
  }

  #refusalsByCluster(plan: MirrorPlan): Map<string, LinkFacts["refusals"][number][]> {
    const found = new Map<string, LinkFacts["refusals"][number][]>();
    for (const step of plan.steps) {
      const error = this.#applier.refusals.get(stepKey(step));
      const cluster = "object" in step ? originOf(step.object)?.cluster : undefined;
      if (error === undefined || cluster === undefined) continue;
      const kind = step.type.plural === "endpointslices" ? ("address" as const) : ("service" as const);
      found.set(cluster, [...(found.get(cluster) ?? []), { kind, error }]);
    }
    return found;
  }

  #tellRefusals(): void {
    const { cache } = this.#deps;
    for (const service of cache.services.list()) {
      // First what is cheap: this looks at every Service there is.
      if (service.spec?.type !== "ExternalName") continue;
      const { name, namespace } = service.metadata;
      if (!isRefusedExport(service, cache.exports.get(name, namespace))) continue;
      const message = `Cannot export ${namespace}/${name}: it is an ExternalName. Export a Service that has endpoints.`;
      void this.#events.tell(service, { reason: "ExportRefused", message });
    }
  }
}

function keyOf({ metadata: { namespace = "", name } }: KubeObject): ServiceKey {
  return serviceKey(namespace, name);
}
