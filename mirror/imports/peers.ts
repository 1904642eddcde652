import type { GatewayAddress, LinkHealth } from "../../core/link.ts";
import type { RemoteService, ServiceKey } from "../../core/service.ts";

/** A linked cluster as the import side sees it. */
export interface Peer {
  readonly cluster: string;
  /** The Link stands and asks for imports; otherwise everything of the cluster goes. */
  readonly importing: boolean;
  /**
   * The absence of a service says that it is not exported any more: the registry is whole and the link's state is
   * acknowledged, and has been for a moment. Otherwise absence says nothing and deletes nothing.
   */
  readonly confirmed: boolean;
  readonly health: LinkHealth;
  readonly services: readonly RemoteService[];
  readonly gateways: readonly GatewayAddress[];
  /** Whether a service has endpoints that can take traffic; true where that is not known. */
  hasReady(key: ServiceKey): boolean;
  /** Endpoints of a service; undefined where that is not known. */
  counts?(key: ServiceKey): { readonly ready: number; readonly total: number } | undefined;
}
