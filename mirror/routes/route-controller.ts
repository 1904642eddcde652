import type { Clock } from "../../core/clock.ts";
import { errorText } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import { type ServiceKey, serviceKey } from "../../core/service.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { RouteObject } from "../../kube/gateway-api.ts";
import { LOCAL_ROUTES } from "../../registry/state.ts";
import type { ClusterCache } from "../cluster-cache.ts";
import { Coalescer } from "../coalescer.ts";
import type { StateWriter } from "../state-port.ts";
import { StepApplier } from "../step-applier.ts";
import { planRoutes } from "./route-plan.ts";
import { routeStatusStep } from "./route-status.ts";

interface RouteDeps {
  readonly cache: ClusterCache;
  readonly writer: StateWriter;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Least time between two plans; the first change after a pause is not held back. */
const SPACING_MS = 25;

/**
 * Keeps `local/route/` equal to what HTTPRoutes and GRPCRoutes say, and their status to what became of them. Every
 * replica says the former to its writer; only the one that leads writes the latter.
 */
export class RouteController {
  readonly #deps: RouteDeps;
  readonly #passes: Coalescer;
  readonly #applier: StepApplier;
  /** Services and ServiceImports that routes name: others are nothing to them. Undefined before the first plan. */
  #named: Set<ServiceKey> | undefined;
  /** What was logged of each route. */
  #told = new Map<string, string>();

  constructor(deps: RouteDeps) {
    this.#deps = deps;
    const { cache, writer, kube, clock, random, log } = deps;
    const mark = () => this.#passes.mark();
    this.#passes = new Coalescer({
      clock,
      spacingMs: SPACING_MS,
      run: () => this.#pass(),
      onError: (error) => log.error("route.failed", { reason: errorText(error) }),
    });
    this.#applier = new StepApplier({ kube, clock, random, log, onRefusalsChanged: () => {} });
    cache.onRouting((name) => {
      if (name === undefined || this.#named === undefined || this.#named.has(name)) mark();
    });
    writer.onLeadership(mark);
  }

  async close(): Promise<void> {
    this.#passes.close();
    await this.#applier.close();
  }

  #pass(): void {
    const { cache, writer, clock } = this.#deps;
    // Before everything is listed, what is missing says nothing: writing would delete.
    if (!cache.routingSynced) {
      this.#applier.plan([]);
      return;
    }
    const named = new Set<ServiceKey>();
    const plan = planRoutes({
      routes: cache.routes(),
      grants: cache.grants.list(),
      service(namespace, name) {
        named.add(serviceKey(namespace, name));
        return cache.services.get(name, namespace);
      },
      serviceImport(namespace, name) {
        named.add(serviceKey(namespace, name));
        return cache.imports.get(name, namespace);
      },
    });
    this.#named = named;
    const values = [...plan.services].map(([key, routes]) => [LOCAL_ROUTES.prefix + key, LOCAL_ROUTES.encode(routes)]);
    writer.replacePrefix(LOCAL_ROUTES.prefix, new Map(values as [string, string][]));
    const steps = [...plan.verdicts].flatMap(
      ([route, verdicts]) => routeStatusStep(route, verdicts, () => clock.wallMs()) ?? [],
    );
    this.#applier.plan(writer.leading ? steps : []);
    this.#tell(
      [...plan.verdicts].map(([route, verdicts]) => [route, verdicts.flatMap(({ conditions }) => conditions)]),
    );
  }

  /** Logs what of a route does not hold, once for each text. */
  #tell(
    verdicts: readonly (readonly [RouteObject, readonly { status: string; reason: string; message: string }[]])[],
  ): void {
    const told = new Map<string, string>();
    for (const [{ kind, metadata }, conditions] of verdicts) {
      const id = `${kind}/${metadata.namespace}/${metadata.name}`;
      const worth = conditions.filter(({ status, message }) => status !== "True" || message !== "");
      const text = [...new Set(worth.map(({ reason, message }) => `${reason}: ${message}`))].join(" ");
      if (text === "") continue;
      told.set(id, text);
      if (this.#told.get(id) !== text)
        this.#deps.log.warn("route.refused", { route: id, reason: text.slice(0, 1_000) });
    }
    this.#told = told;
  }
}
