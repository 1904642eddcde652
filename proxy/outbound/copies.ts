// Which requests are copied to where a rule says, whatever their protocol.
import type { Service } from "../balance/service.ts";
import type { Counter } from "../observe/metrics.ts";
import type { MirrorTarget } from "../route/route-table.ts";
import type { OutboundDeps } from "./outbound-state.ts";
import type { Terms } from "./try-state.ts";

/** Copies under way, of each protocol; more are not made. */
const MAX_COPIES = 100;
/** Of an answer that is thrown away; a longer one is not read to its end. */
export const MAX_ANSWER_BYTES = 1_048_576;

/** Nobody waits for a copy, and once is enough. */
export const COPY_TERMS: Terms = {
  timeouts: { requestMs: 10_000, tryMs: 0, idleMs: 0 },
  retry: { limit: 0, httpStatuses: new Set(), grpcStatuses: new Set(), backoffMs: 0, anyMethod: false },
};

/** Counts the copies of requests, those included that are not made. */
export class Copies {
  readonly #deps: OutboundDeps;
  readonly #sent: Counter;
  readonly #failed: Counter;
  readonly #skipped: Counter;
  #open = 0;

  constructor(deps: OutboundDeps) {
    this.#deps = deps;
    const counter = (result: string) => deps.metrics.counter("outbound_http_mirror_total", `result="${result}"`);
    this.#sent = counter("sent");
    this.#failed = counter("failed");
    this.#skipped = counter("skipped");
  }

  /** The request cannot be copied: not all of it is held. */
  skip(): void {
    this.#skipped.value++;
  }

  /** Calls `send` for as many of `targets` as their shares say; it calls `over` once, when the copy is answered or lost. */
  each(targets: readonly MirrorTarget[], send: (service: Service, over: (good: boolean) => void) => void): void {
    const { random, services } = this.#deps;
    for (const { authority, numerator, denominator } of targets) {
      if (random() * denominator >= numerator) continue;
      const service = services.lookup(authority)?.service;
      if (service === undefined || service.spec.kind === "notFound" || this.#open >= MAX_COPIES) {
        this.#skipped.value++;
        continue;
      }
      this.#open++;
      send(service, (good) => {
        this.#open--;
        const counter = good ? this.#sent : this.#failed;
        counter.value++;
      });
    }
  }
}
