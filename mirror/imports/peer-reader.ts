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

interface PeerReaderDeps {
  /** Our own. */
  readonly cluster: string;
  readonly view: StateReader;
  readonly clock: Clock;
  /** A peer's absences have begun to count. */
  recheck(): void;
}

/** Reads the registry's account of each link. */
export class PeerReader {
  readonly #deps: PeerReaderDeps;
  readonly #activeSince = new Map<string, number>();

  constructor(deps: PeerReaderDeps) {
    this.#deps = deps;
  }

  /** One Peer per linked cluster; of two Links to the same, the one that imports counts. */
  read(links: readonly Link[]): Peer[] {
    const byCluster = new Map<string, Link>();
    for (const link of links) {
      const { cluster } = link.spec;
      const known = byCluster.get(cluster);
      if (cluster !== this.#deps.cluster && (known === undefined || !isImporting(known))) byCluster.set(cluster, link);
    }
    for (const cluster of this.#activeSince.keys()) if (!byCluster.has(cluster)) this.#activeSince.delete(cluster);
    return [...byCluster.values()].map((link) => this.#peer(link)).sort((a, b) => (a.cluster < b.cluster ? -1 : 1));
  }

  #peer(link: Link): Peer {
    const { view } = this.#deps;
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
      counts: (key: ServiceKey) => {
        const found = view.get(PEER_ENDPOINTS, cluster, key);
        if (found === undefined) return undefined;
        const { endpoints, counts } = found;
        return counts ?? { ready: endpoints.filter(({ ready }) => ready).length, total: endpoints.length };
      },
    };
  }

  #confirm(cluster: string): boolean {
    const { view, clock } = this.#deps;
    const active = view.synced && view.retained === 0 && view.get(PEER_LINKS, cluster)?.active === true;
    if (!active) {
      this.#activeSince.delete(cluster);
      return false;
    }
    const since = this.#activeSince.get(cluster);
    if (since === undefined) {
      this.#activeSince.set(cluster, clock.nowMs());
      // Timers may fire a little early, and then nobody would look again for long.
      clock.after(CONFIRM_AFTER_MS + 10, () => this.#deps.recheck());
      return false;
    }
    return clock.nowMs() - since >= CONFIRM_AFTER_MS;
  }
}

/** Gateways as the peer announced them, else as the Link has them from the join. */
function gatewaysOf(link: Link, announced: readonly GatewayAddress[]): readonly GatewayAddress[] {
  if (announced.length > 0) return announced;
  return link.spec.gateways.map(({ zone = "", ...gateway }) => ({ ...gateway, zone }));
}
