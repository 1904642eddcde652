import type { MeshError } from "../../core/errors.ts";
import type { Random } from "../../core/random.ts";
import type { DialMux, MuxPool } from "../../transport/mux/mux-pool.ts";
import type { Blame, GatewayTarget } from "./gateway-target.ts";

/** A gateway through which nothing came back is tried again this often, by a connection that nobody waits for. */
const PROBE_MS = 2_000;
/** Streams are moved to a gateway that has none at most this often. */
const REBALANCE_MS = 10_000;

/** The path through a gateway, or to a local endpoint; `fellSilent` is told as MuxPool's `onStall`. */
type CreatePath = (gateway: GatewayTarget | undefined, fellSilent: (silent: boolean) => void) => MuxPool<Blame>;

/**
 * The multiplexed connections to one endpoint's proxy, apart by the gateway that they go through, so that streams are
 * spread over all of a cluster's gateways and the loss of one takes no more than its own along. A local endpoint has
 * one path, through none.
 */
export class MuxPaths {
  readonly #create: CreatePath;
  readonly #onSilence: (silent: boolean) => void;
  /** Gateways through which nothing comes back, and when to try them again. */
  readonly #silent = new Map<GatewayTarget, number>();
  readonly #paths = new Map<GatewayTarget | undefined, MuxPool<Blame>>();
  #closed = false;
  #balancedMs = Number.NEGATIVE_INFINITY;

  /**
   * `onSilence`: a gateway has become silent on the way to this endpoint, or is so no more; before those who wait for an
   * answer are told.
   */
  constructor(create: CreatePath, onSilence: (silent: boolean) => void = () => {}) {
    this.#create = create;
    this.#onSilence = onSilence;
  }

  /** The path through `gateway`. */
  to(gateway: GatewayTarget | undefined): MuxPool<Blame> {
    const known = this.#paths.get(gateway);
    if (known !== undefined) return known;
    const made = this.#create(gateway, (silent) => this.#fellSilent(gateway, silent));
    if (this.#closed) made.close();
    else this.#paths.set(gateway, made);
    return made;
  }

  #fellSilent(gateway: GatewayTarget | undefined, silent: boolean): void {
    if (gateway === undefined) return;
    if (silent) this.#silent.set(gateway, Number.NEGATIVE_INFINITY);
    else this.#silent.delete(gateway);
    this.#onSilence(silent);
  }

  /** Nothing comes back from the endpoint through `gateway`: whose fault that is, is not known. */
  silent(gateway: GatewayTarget): boolean {
    return this.#silent.has(gateway);
  }

  /** Of `gateways`, those that are silent and due to be tried again; noted as tried. */
  silentDue(gateways: readonly GatewayTarget[], nowMs: number): readonly GatewayTarget[] {
    if (this.#silent.size === 0) return [];
    const due = gateways.filter((gateway) => (this.#silent.get(gateway) ?? Number.POSITIVE_INFINITY) <= nowMs);
    for (const gateway of due) this.#silent.set(gateway, nowMs + PROBE_MS);
    return due;
  }

  /** Of `gateways`, one through which the fewest streams go; undefined where there is none. */
  leastUsed(gateways: readonly GatewayTarget[], random: Random): GatewayTarget | undefined {
    let fewest = Number.POSITIVE_INFINITY;
    let least: GatewayTarget[] = [];
    for (const gateway of gateways) {
      const streams = this.#paths.get(gateway)?.streams ?? 0;
      if (streams < fewest) {
        fewest = streams;
        least = [];
      }
      if (streams === fewest) least.push(gateway);
    }
    return least[Math.floor(random() * least.length)];
  }

  /** Makes a connection through `gateway` that nobody waits for, where there is none: to see whether it works. */
  probe(gateway: GatewayTarget, dial: DialMux<Blame>): void {
    if (!this.#closed) this.to(gateway).warm(dial);
  }

  /** Only these lead there now: what goes through others ends with its last stream. */
  keep(gateways: readonly GatewayTarget[]): void {
    for (const [gateway, path] of this.#paths) {
      if (gateway === undefined || gateways.includes(gateway)) continue;
      this.#paths.delete(gateway);
      this.#silent.delete(gateway);
      path.close();
    }
  }

  /** Where one of `gateways`, which all take connections, carries nothing and others could share: all begin anew. */
  rebalance(gateways: readonly GatewayTarget[], nowMs: number): void {
    if (gateways.length < 2 || nowMs - this.#balancedMs < REBALANCE_MS) return;
    const used = gateways.map((gateway) => this.#paths.get(gateway)?.streams ?? 0);
    const all = used.reduce((sum, streams) => sum + streams, 0);
    if (all < 2 || !used.includes(0)) return;
    this.#balancedMs = nowMs;
    this.retire();
  }

  /** Gives up what waits for a connection to be made. */
  abandonWaiting(error: MeshError): void {
    for (const path of this.#paths.values()) path.abandonWaiting(error, "gateway");
  }

  retire(): void {
    for (const path of this.#paths.values()) path.retire();
  }

  close(): void {
    this.#closed = true;
    for (const path of this.#paths.values()) path.close();
  }

  destroy(): void {
    this.#closed = true;
    for (const path of this.#paths.values()) path.destroy();
  }
}
