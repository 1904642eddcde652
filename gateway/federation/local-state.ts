import type { GatewayAddress } from "../../core/link.ts";
import { type LocalEndpoints, type LocalService, type ServiceKey, serviceKey } from "../../core/service.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import { LOCAL_BUNDLE, LOCAL_ENDPOINTS, LOCAL_GATEWAYS, LOCAL_READY, LOCAL_SERVICES } from "../../registry/state.ts";
import type { StateView } from "./state-view.ts";

export interface LocalChange {
  /** Services of which the service or its endpoints changed; "all" after a time of not being ready. */
  readonly services: ReadonlySet<ServiceKey> | "all";
  readonly bundle: boolean;
  readonly gateways: boolean;
}

/**
 * What this cluster has to offer, read from the registry. Services and endpoints are only believed while mirror
 * says that it has written all of them (`local/ready/mirror`): a registry that lost its data, or a mirror that
 * has just begun, must not look like a cluster that exports nothing. Until a first marker is seen, any service
 * at all will do: every cluster has some.
 */
export class LocalState {
  readonly #view: StateView;
  readonly #listeners = new Set<(change: LocalChange) => void>();
  readonly #stop: () => void;
  #markerSeen = false;
  #wasReady: boolean;

  constructor(view: StateView) {
    this.#view = view;
    this.#wasReady = this.servicesReady;
    this.#stop = view.onChange((key) => this.#onChange(key));
  }

  close(): void {
    this.#stop();
    this.#listeners.clear();
  }

  get servicesReady(): boolean {
    if (!this.#view.synced) return false;
    if (this.#view.get(LOCAL_READY, "mirror") !== undefined) {
      this.#markerSeen = true;
      return true;
    }
    return !this.#markerSeen && this.#view.entries(LOCAL_SERVICES).size > 0;
  }

  get synced(): boolean {
    return this.#view.synced;
  }

  service(key: ServiceKey): LocalService | undefined {
    return this.#view.get(LOCAL_SERVICES, key);
  }

  endpoints(key: ServiceKey): LocalEndpoints | undefined {
    return this.#view.get(LOCAL_ENDPOINTS, key);
  }

  services(): Iterable<LocalService> {
    return this.#view.entries(LOCAL_SERVICES).values();
  }

  bundles(): Iterable<TrustBundle> {
    return this.#view.entries(LOCAL_BUNDLE).values();
  }

  gateways(): Iterable<GatewayAddress> {
    return this.#view.entries(LOCAL_GATEWAYS).values();
  }

  onChange(listener: (change: LocalChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #onChange(keys: ReadonlySet<string>): void {
    const ready = this.servicesReady;
    const appeared = ready && !this.#wasReady;
    this.#wasReady = ready;
    const changed = new Set<ServiceKey>();
    let bundle = false;
    let gateways = false;
    for (const key of keys) {
      const service = serviceOf(key);
      if (service !== undefined) changed.add(service);
      bundle ||= key.startsWith(LOCAL_BUNDLE.prefix);
      gateways ||= key.startsWith(LOCAL_GATEWAYS.prefix);
    }
    if (!appeared && changed.size === 0 && !bundle && !gateways) return;
    const change: LocalChange = { services: appeared ? "all" : changed, bundle, gateways };
    for (const listener of this.#listeners) listener(change);
  }
}

function serviceOf(key: string): ServiceKey | undefined {
  for (const { prefix } of [LOCAL_SERVICES, LOCAL_ENDPOINTS]) {
    if (!key.startsWith(prefix)) continue;
    const [namespace, name] = key.slice(prefix.length).split("/");
    return namespace === undefined || name === undefined ? undefined : serviceKey(namespace, name);
  }
  return undefined;
}
