import { canonicalAddress } from "../../core/address.ts";
import { type ServiceKey, serviceKey } from "../../core/service.ts";
import type { KubeService } from "../../kube/resources.ts";
import { LOCAL_VIPS, stateKey, type VirtualAddress } from "../../registry/state.ts";
import { derivedFor, originOf } from "../ownership.ts";
import type { StateWriter } from "../state-port.ts";

/** What the ClusterIPs of a Service of ours stand for: the mirror itself, or the clusterset name that it is derived for. */
function virtualAddress(service: KubeService): VirtualAddress | undefined {
  const { namespace = "", name, deletionTimestamp } = service.metadata;
  if (deletionTimestamp !== undefined) return undefined;
  const imported = derivedFor(service);
  if (imported !== undefined) return { of: "clusterset", namespace, name: imported };
  return originOf(service) === undefined ? undefined : { of: "service", namespace, name };
}

/**
 * Keeps `local/vip/` equal to the ClusterIPs of mirrors and derived Services: control tells by them what a connection
 * was for whose destination is all that is known of it.
 */
export class VirtualAddresses {
  readonly #writer: Pick<StateWriter, "set" | "delete" | "replacePrefix">;
  readonly #ips = new Map<ServiceKey, readonly string[]>();
  /** An address may have gone over to another Service before its former one is seen to be gone. */
  readonly #owner = new Map<string, ServiceKey>();

  constructor(writer: Pick<StateWriter, "set" | "delete" | "replacePrefix">) {
    this.#writer = writer;
  }

  /** Says all of them at once, in place of what was there. */
  replace(services: readonly KubeService[]): void {
    this.#ips.clear();
    this.#owner.clear();
    const entries = new Map<string, string>();
    for (const service of services) {
      const { namespace = "", name } = service.metadata;
      for (const [key, value] of this.#take(serviceKey(namespace, name), service)) entries.set(key, value);
    }
    this.#writer.replacePrefix(LOCAL_VIPS.prefix, entries);
  }

  /** Says those of one Service; undefined where it is gone. */
  update(key: ServiceKey, service: KubeService | undefined): void {
    const before = this.#ips.get(key) ?? [];
    const entries = this.#take(key, service);
    for (const ip of before) {
      if (this.#owner.get(ip) !== key || this.#ips.get(key)?.includes(ip) === true) continue;
      this.#owner.delete(ip);
      this.#writer.delete(stateKey(LOCAL_VIPS, ip));
    }
    for (const [name, value] of entries) this.#writer.set(name, value);
  }

  #take(key: ServiceKey, service: KubeService | undefined): [key: string, value: string][] {
    const address = service && virtualAddress(service);
    const { clusterIP, clusterIPs = clusterIP === undefined ? [] : [clusterIP] } = service?.spec ?? {};
    const ips = address === undefined ? [] : clusterIPs.flatMap((ip) => canonicalAddress(ip) ?? []);
    if (ips.length === 0) this.#ips.delete(key);
    else this.#ips.set(key, ips);
    return ips.map((ip) => {
      this.#owner.set(ip, key);
      return [stateKey(LOCAL_VIPS, ip), LOCAL_VIPS.encode(address as VirtualAddress)];
    });
  }
}
