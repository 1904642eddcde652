import type { Clock } from "../../core/clock.ts";
import { errorText } from "../../core/errors.ts";
import type { TrustDomain } from "../../core/identity.ts";
import type { Log } from "../../core/log.ts";
import { type LocalEndpoints, type LocalService, type ServiceKey, serviceKey } from "../../core/service.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { KubeService } from "../../kube/resources.ts";
import { LOCAL_ENDPOINTS, LOCAL_READY, LOCAL_SERVICES, stateKey } from "../../registry/state.ts";
import type { ClusterCache } from "../cluster-cache.ts";
import { Coalescer } from "../coalescer.ts";
import { podSockets, readServiceSettings } from "../settings/service-settings.ts";
import type { StateWriter } from "../state-port.ts";
import { localEndpoints, localService } from "./local-service.ts";
import { RefusalEvents } from "./refusal-events.ts";
import { VirtualAddresses } from "./virtual-addresses.ts";

interface ExportDeps {
  readonly cache: ClusterCache;
  readonly writer: StateWriter;
  readonly kube: KubeClient;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Kubernetes to registry: keeps `local/service/` and `local/endpoints/` equal to this cluster's Services. The whole is
 * said once, when everything is listed; after that a change of one Service costs that Service's work, in the same turn
 * of the event loop. Replicas that do not lead say the same to their writer, so that they can take over.
 */
export class ExportController {
  readonly #deps: ExportDeps;
  readonly #dirty = new Set<ServiceKey>();
  readonly #flush: Coalescer;
  readonly #addresses: VirtualAddresses;
  readonly #events: RefusalEvents;
  /** Services with settings that mean nothing. */
  readonly #misset = new Map<ServiceKey, readonly string[]>();
  #whole = true;

  constructor(deps: ExportDeps) {
    this.#deps = deps;
    this.#addresses = new VirtualAddresses(deps.writer);
    this.#events = new RefusalEvents(deps);
    this.#flush = new Coalescer({
      clock: deps.clock,
      spacingMs: 0,
      run: () => this.#run(),
      onError: (error) => {
        this.#whole = true;
        deps.log.error("export.failed", { reason: errorText(error) });
      },
    });
    deps.cache.onService((key) => {
      this.#dirty.add(key);
      this.#flush.mark();
    });
    deps.cache.onChange(() => {
      if (this.#whole) this.#flush.mark();
    });
    deps.writer.onLeadership(() => {
      for (const key of this.#misset.keys()) this.#tell(key);
    });
  }

  /** A Service of this cluster as the registry should hold it. */
  local(key: ServiceKey): LocalService | undefined {
    const { cache } = this.#deps;
    const [namespace = "", name = ""] = key.split("/");
    const service = cache.services.get(name, namespace);
    return service && localService(service, cache.exports.get(name, namespace));
  }

  close(): void {
    this.#flush.close();
  }

  #run(): void {
    const { cache, writer, clock, log } = this.#deps;
    // Before everything is listed, what is missing says nothing: writing would delete.
    if (!cache.synced) return;
    if (!this.#whole) {
      const keys = [...this.#dirty];
      this.#dirty.clear();
      for (const key of keys) this.#write(key);
      return;
    }
    this.#whole = false;
    this.#dirty.clear();
    const services = new Map<string, string>();
    const endpoints = new Map<string, string>();
    for (const { metadata } of cache.services.list()) {
      const key = serviceKey(metadata.namespace ?? "", metadata.name);
      this.#check(key);
      const service = this.local(key);
      if (service === undefined) continue;
      services.set(stateKey(LOCAL_SERVICES, key), LOCAL_SERVICES.encode(service));
      endpoints.set(stateKey(LOCAL_ENDPOINTS, key), LOCAL_ENDPOINTS.encode(this.#endpoints(key)));
    }
    writer.replacePrefix(LOCAL_SERVICES.prefix, services);
    writer.replacePrefix(LOCAL_ENDPOINTS.prefix, endpoints);
    this.#addresses.replace(cache.services.list());
    // Written after them: whoever sees it knows that what is not there does not exist.
    writer.set(stateKey(LOCAL_READY, "mirror"), LOCAL_READY.encode({ sinceMs: clock.wallMs() }));
    log.info("export.synced", { services: services.size });
  }

  #write(key: ServiceKey): void {
    const { writer } = this.#deps;
    this.#check(key);
    this.#addresses.update(key, this.#service(key));
    const service = this.local(key);
    if (service === undefined) {
      writer.delete(stateKey(LOCAL_SERVICES, key));
      writer.delete(stateKey(LOCAL_ENDPOINTS, key));
      return;
    }
    writer.set(stateKey(LOCAL_SERVICES, key), LOCAL_SERVICES.encode(service));
    writer.set(stateKey(LOCAL_ENDPOINTS, key), LOCAL_ENDPOINTS.encode(this.#endpoints(key)));
  }

  #endpoints(key: ServiceKey): LocalEndpoints {
    const { cache, trustDomain } = this.#deps;
    const [namespace = "", name = ""] = key.split("/");
    const service = this.#service(key);
    if (service === undefined) return { namespace, name, endpoints: [] };
    return localEndpoints(service, cache.slicesOf(key), (ns, pod) => cache.pods.get(pod, ns), trustDomain);
  }

  #service(key: ServiceKey): KubeService | undefined {
    const [namespace = "", name = ""] = key.split("/");
    return this.#deps.cache.services.get(name, namespace);
  }

  /** Takes note of the settings of a Service and of its Pods that mean nothing. */
  #check(key: ServiceKey): void {
    const service = this.#service(key);
    const problems = service === undefined ? [] : [...readServiceSettings(service).problems, ...this.#podProblems(key)];
    const before = this.#misset.get(key);
    if (problems.length === 0) this.#misset.delete(key);
    else this.#misset.set(key, problems);
    if (JSON.stringify(before ?? []) !== JSON.stringify(problems)) this.#tell(key);
  }

  #podProblems(key: ServiceKey): string[] {
    const { cache } = this.#deps;
    const [namespace = ""] = key.split("/");
    const pods = cache.slicesOf(key).flatMap(({ endpoints = [] }) => endpoints.map(({ targetRef }) => targetRef));
    return pods.flatMap((ref) => {
      if (ref?.kind !== "Pod" || ref.name === undefined) return [];
      const { problems } = podSockets(cache.pods.get(ref.name, ref.namespace ?? namespace));
      return problems.map((problem) => `Pod ${ref.name}: ${problem}`);
    });
  }

  #tell(key: ServiceKey): void {
    const service = this.#service(key);
    const message = (this.#misset.get(key) ?? []).join(" ");
    if (service === undefined || message === "" || !this.#deps.writer.leading) return;
    void this.#events.tell(service, { reason: "SettingRefused", message });
  }
}
