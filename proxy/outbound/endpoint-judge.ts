import type { Endpoint } from "../balance/endpoint.ts";
import { peersOf } from "../balance/outlier.ts";
import type { Service } from "../balance/service.ts";
import { beginRamp } from "../balance/slow-start.ts";
import { fail, release, succeed } from "../resilience/breaker.ts";
import type { DialDeps } from "./dial.ts";

/** What tries say of endpoints: counts it at their breakers, and tells when one opens or closes. */
export class EndpointJudge {
  readonly #deps: Pick<DialDeps, "clock" | "random" | "log" | "metrics">;

  constructor(deps: Pick<DialDeps, "clock" | "random" | "log" | "metrics">) {
    this.#deps = deps;
  }

  /** It works. */
  praise(endpoint: Endpoint): void {
    const { clock, log, metrics } = this.#deps;
    const nowMs = clock.nowMs();
    if (!succeed(endpoint.breaker, nowMs)) return;
    beginRamp(endpoint, nowMs);
    metrics.breakerClosed(endpoint.row);
    log.info("breaker.closed", {
      endpoint: endpoint.spec.id,
      identity: endpoint.spec.identity,
      cluster: endpoint.group.cluster,
    });
  }

  /** It does not. `decisive`: nothing more is needed to open its breaker. */
  blame(service: Service | undefined, endpoint: Endpoint, decisive: boolean): void {
    const { clock, random, log, metrics } = this.#deps;
    const nowMs = clock.nowMs();
    const peers = peersOf(service?.groups ?? [endpoint.group], endpoint, nowMs);
    if (!fail(endpoint.breaker, decisive, nowMs, random, peers)) return;
    metrics.breakerOpened(endpoint.row);
    log.info("breaker.open", {
      endpoint: endpoint.spec.id,
      identity: endpoint.spec.identity,
      cluster: endpoint.group.cluster,
    });
  }

  /** The try said nothing of it; where that was the breaker's probe, the next one is. */
  release(endpoint: Endpoint): void {
    release(endpoint.breaker, this.#deps.clock.nowMs());
  }
}
