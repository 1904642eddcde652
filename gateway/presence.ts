import { type Clock, every, sleep } from "../core/clock.ts";
import { LEASE_TTL_MS } from "../core/defaults.ts";
import { errorText } from "../core/errors.ts";
import type { GatewayAddress } from "../core/link.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { RegistryView } from "../registry/registry-view.ts";
import { RegistryWriter } from "../registry/registry-writer.ts";
import { LOCAL_GATEWAYS, stateKey } from "../registry/state.ts";
import type { RegistryStore } from "../registry/store.ts";

export interface PresenceDeps {
  readonly store: RegistryStore;
  /** Follows LOCAL_GATEWAYS. */
  readonly view: RegistryView;
  /** This replica. */
  readonly holder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How long a replica that leaves waits for the registry to hear of it. */
const LEAVE_MS = 1_000;
/** For what is asked of a lease that may be free. */
const LOOK_MS = 1_000;

function leaseOf(holder: string): string {
  return `gateway/${holder}`;
}

/**
 * That this replica of the gateway lives, and where: a value of its own under a lease of its own, so that each replica
 * says it for itself. Who leads takes away what a replica left whose lease has ended.
 */
export class GatewayPresence {
  readonly #deps: PresenceDeps;
  readonly #writer: RegistryWriter;
  readonly #key: string;
  #stopTidying: (() => void) | undefined;
  #tidying: Promise<void> = Promise.resolve();

  constructor(deps: PresenceDeps) {
    const { store, holder, clock, random, log } = deps;
    this.#deps = deps;
    this.#key = stateKey(LOCAL_GATEWAYS, holder);
    this.#writer = new RegistryWriter({ store, lease: leaseOf(holder), holder, clock, random, log });
  }

  /** Says where this replica is reached, from now on. */
  set(gateway: GatewayAddress): void {
    this.#writer.set(this.#key, LOCAL_GATEWAYS.encode(gateway));
  }

  start(signal: AbortSignal): void {
    this.#writer.start(signal);
  }

  get ended(): Promise<void> {
    return this.#writer.ended;
  }

  /** This replica leads, or does no longer: while it does, others that are gone are taken away. */
  lead(leading: boolean): void {
    this.#stopTidying?.();
    this.#stopTidying = undefined;
    if (!leading) return;
    const tidy = () => {
      this.#tidying = this.#tidying
        .then(() => this.#tidy())
        .catch((error: unknown) => this.#deps.log.debug("gateways not looked at", { reason: errorText(error) }));
    };
    this.#stopTidying = every(this.#deps.clock, LEASE_TTL_MS / 3, tidy);
  }

  /** Takes itself away; resolves once that is stored, or `LEAVE_MS` later. */
  async leave(signal: AbortSignal): Promise<void> {
    this.lead(false);
    this.#writer.delete(this.#key);
    const { clock } = this.#deps;
    await Promise.race([this.#writer.settled().catch(() => {}), sleep(clock, LEAVE_MS, signal).catch(() => {})]);
    await this.#tidying;
  }

  /** A lease that may be had is nobody's: what its holder said goes, under that same lease. */
  async #tidy(): Promise<void> {
    const { store, view, holder, log } = this.#deps;
    for (const name of [...view.entries(LOCAL_GATEWAYS).keys()]) {
      if (name === holder) continue;
      const fence = await store.acquire(leaseOf(name), `${holder} tidies`, LOOK_MS);
      if (fence === undefined) continue;
      await store.write([{ key: stateKey(LOCAL_GATEWAYS, name) }], fence);
      await store.release(fence);
      log.info("gateway gone", { replica: name });
    }
  }
}
