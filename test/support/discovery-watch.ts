import { X509Certificate } from "node:crypto";
import { systemClock } from "../../core/clock.ts";
import { PORTS, PROTOCOL, SERVICE_ACCOUNTS, SYSTEM_NAMESPACE, TOKEN_AUDIENCE } from "../../core/defaults.ts";
import { defaultTrustDomain, identityOf } from "../../core/identity.ts";
import { silentLog } from "../../core/log.ts";
import { grpcChannelCredentials } from "../../identity/grpc-channel.ts";
import { startWorkloadIdentity } from "../../identity/workload-identity.ts";
import type { ServiceState__Output } from "../../protos/gen/causeway/discovery/v1/ServiceState.ts";
import type { WatchResponse__Output } from "../../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import { loadDiscovery } from "../../protos/load.ts";
import { type LocalMesh, reached } from "./local-mesh.ts";

/** A watch at a local cluster's control, as the proxy of ServiceAccount `client` in `namespace` would have it. */
export class DiscoveryWatch implements AsyncDisposable {
  readonly #states = new Map<string, ServiceState__Output>();
  readonly #subscribe: (authority: string) => void;
  readonly #close: () => Promise<void>;

  private constructor(subscribe: (authority: string) => void, close: () => Promise<void>) {
    this.#subscribe = subscribe;
    this.#close = close;
  }

  static async open(mesh: LocalMesh, cluster: string, namespace: string): Promise<DiscoveryWatch> {
    const abort = new AbortController();
    const controlAddress = `${mesh.layout(cluster).control}:${PORTS.control}`;
    const trustDomain = defaultTrustDomain(cluster);
    const controlIdentity = identityOf(trustDomain, SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.control);
    const root = await mesh.kubectl(
      cluster,
      ...["-n", SYSTEM_NAMESPACE, "get", "configmap", "causeway-trust", "-o", "jsonpath={.data.root\\.crt}"],
    );
    const common = { clock: systemClock, random: Math.random, log: silentLog };
    const identity = await startWorkloadIdentity(
      {
        controlAddresses: [controlAddress],
        rootsDer: [new Uint8Array(new X509Certificate(root).raw)],
        controlIdentity,
        identity: identityOf(trustDomain, namespace, "client"),
        tokenSource: async () =>
          (
            await mesh.kubectl(cluster, "-n", namespace, "create", "token", "client", "--audience", TOKEN_AUDIENCE)
          ).trim(),
        ...common,
      },
      abort.signal,
    );
    const credentials = grpcChannelCredentials({
      tls: identity.tls,
      trustDomain,
      expected: controlIdentity,
      clock: systemClock,
    });
    const client = new (loadDiscovery().Discovery)(`dns:${controlAddress}`, credentials);
    const stream = client.Watch();
    const watch = new DiscoveryWatch(
      (authority) => void stream.write({ subscribe: { authorities: [authority] } }),
      async () => {
        stream.cancel();
        client.close();
        abort.abort();
        await identity.done;
      },
    );
    stream.on("data", ({ service }: WatchResponse__Output) => {
      if (service) watch.#states.set(service.authority, service);
    });
    // Cancelling ends a stream with an error.
    stream.on("error", () => {});
    stream.write({ hello: { namespace, pod: "test", address: "127.0.0.1", protocol: PROTOCOL.discovery } });
    return watch;
  }

  /** The state of `authority`, once `fits`. */
  async service(authority: string, fits: (state: ServiceState__Output) => boolean): Promise<ServiceState__Output> {
    this.#subscribe(authority);
    return await reached(`what fits of ${authority}`, () => {
      const state = this.#states.get(authority);
      if (state !== undefined && fits(state)) return state;
      throw new Error(JSON.stringify(state));
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}
