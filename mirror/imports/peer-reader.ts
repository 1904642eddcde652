import type { Clock } from "../../core/clock.ts";
import type { GatewayAddress } from "../../core/link.ts";
import type { ServiceKey } from "../../core/service.ts";
import type { Link } from "../../kube/resources.ts";
import { PEER_ENDPOINTS, PEER_GATEWAYS, PEER_LINKS, PEER_SERVICES } from "../../registry/state.ts";
import type { StateReader } from "../state-port.ts";
import { isImporting } from "./link-status.ts";
import type { Peer } from "./peers.ts";

/** How long a link must have been active before absence counts: its services may still be on their way to us. */
const CONFIRM_AFTER_MS = 1_000;

/** Reads the registry's account of each link. */
export class PeerReader {
  readonly #view: StateReader;
  readonly #clock: Clock;
  readonly #activeSince = new Map<string, number>();
  readonly #recheck: () => void;

  /** `recheck` is called when a peer's absences begin to count. */
  constructor(view: StateReader, clock: Clock, recheck: () => void) {
    this.#view = view;
    this.#clock = clock;
    this.#recheck = recheck;
  }

  read(links: readonly Link[]): Peer[] {
    const clusters = new Set(links.map((link) => link.spec.cluster));
    for (const cluster of this.#activeSince.keys()) if (!clusters.has(cluster)) this.#activeSince.delete(cluster);
    return links.map((link) => this.#peer(link)).sort((a, b) => (a.cluster < b.cluster ? -1 : 1));
  }

  #peer(link: Link): Peer {
    const view = this.#view;
    const { cluster } = link.spec;
    const confirmed = this.#confirm(cluster);
    return {
      cluster,
      importing: isImporting(link),
      confirmed,
      health: view.get(PEER_LINKS, cluster)?.health ?? "unknown",
      services: [...view.entries(PEER_SERVICES, cluster).values()],
      gateways: gatewaysOf(link, [...view.entries(PEER_GATEWAYS, cluster).values()]),
      hasReady: (key: ServiceKey) => view.get(PEER_ENDPOINTS, cluster, key)?.endpoints.some((e) => e.ready) ?? true,
    };
  }

  #confirm(cluster: string): boolean {
    const active =
      this.#view.synced && this.#view.retained === 0 && this.#view.get(PEER_LINKS, cluster)?.active === true;
    if (!active) {
      this.#activeSince.delete(cluster);
      return false;
    }
    const since = this.#activeSince.get(cluster);
    if (since === undefined) {
      this.#activeSince.set(cluster, this.#clock.nowMs());
      this.#clock.after(CONFIRM_AFTER_MS, this.#recheck);
      return false;
    }
    return this.#clock.nowMs() - since >= CONFIRM_AFTER_MS;
  }
}

/** Gateways as the peer announced them, else as the Link has them from the join. */
function gatewaysOf(link: Link, announced: readonly GatewayAddress[]): readonly GatewayAddress[] {
  if (announced.length > 0) return announced;
  return link.spec.gateways.map(({ zone = "", ...gateway }) => ({ ...gateway, zone }));
}
