import { X509Certificate } from "node:crypto";
import { systemClock } from "../../core/clock.ts";
import { PROTOCOL, SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { defaultTrustDomain, identityOf } from "../../core/identity.ts";
import { silentLog } from "../../core/log.ts";
import { grpcChannelCredentials } from "../../identity/grpc-channel.ts";
import { startWorkloadIdentity } from "../../identity/workload-identity.ts";
import type { WatchResponse__Output } from "../../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import { loadDiscovery } from "../../protos/load.ts";
import type { FederationCommand, SeenState } from "./load-commands.ts";

type Options = Extract<FederationCommand, { readonly kind: "proxies" }>;

const OPENED_AT_ONCE = 25;

/** Discovery streams as so many proxies would have them, each over a connection of its own, all with one identity. */
export class DiscoveryStreams {
  readonly #states = new Map<string, SeenState>();
  /** How often each stream was told each state, by its own count of `take`s. */
  #told = new Map<string, number>();
  readonly #last: string[] = [];

  /** Resolves when each has been told of its links. */
  static async open(options: Options): Promise<DiscoveryStreams> {
    const streams = new DiscoveryStreams();
    const { address, cluster, namespace, serviceAccount, root, token } = options;
    const trustDomain = defaultTrustDomain(cluster);
    const controlIdentity = identityOf(trustDomain, SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.control);
    const identity = await startWorkloadIdentity(
      {
        controlAddresses: [address],
        rootsDer: [new Uint8Array(new X509Certificate(root).raw)],
        controlIdentity,
        identity: identityOf(trustDomain, namespace, serviceAccount),
        tokenSource: async () => token,
        clock: systemClock,
        random: Math.random,
        log: silentLog,
      },
      new AbortController().signal,
    );
    const common = { tls: identity.tls, trustDomain, expected: controlIdentity, clock: systemClock };
    for (let i = 0; i < options.count; i += OPENED_AT_ONCE) {
      const some = Array.from({ length: Math.min(OPENED_AT_ONCE, options.count - i) }, (_, n) =>
        streams.#open(options, grpcChannelCredentials(common), i + n),
      );
      await Promise.all(some);
    }
    return streams;
  }

  /** What the streams were told of the link since the last call, in the order in which it was told first. */
  take(): SeenState[] {
    const states = [...this.#states.values()];
    this.#states.clear();
    this.#told = new Map();
    return states;
  }

  #open(options: Options, credentials: ReturnType<typeof grpcChannelCredentials>, index: number): Promise<void> {
    const { address, namespace, authorities, link } = options;
    const apart = { "grpc.use_local_subchannel_pool": 1 };
    const client = new (loadDiscovery().Discovery)(`dns:${address}`, credentials, apart);
    const stream = client.Watch();
    return new Promise((resolve, reject) => {
      stream.on("error", reject);
      stream.on("data", ({ links }: WatchResponse__Output) => {
        if (!links) return;
        resolve();
        const state = links.links.find(({ cluster }) => cluster === link);
        if (state !== undefined) this.#note(index, state.health, state.ramp);
      });
      stream.write({ hello: { namespace, pod: `load-${index}`, address: "127.0.0.1", protocol: PROTOCOL.discovery } });
      stream.write({ subscribe: { authorities: [...authorities] } });
    });
  }

  /** The same state comes again in each round: counted by how often this stream was told it. What is no change is not. */
  #note(stream: number, health: string, ramp: number): void {
    const name = `${health} ${ramp}`;
    if (this.#last[stream] === name) return;
    this.#last[stream] = name;
    const count = (this.#told.get(`${stream} ${name}`) ?? 0) + 1;
    this.#told.set(`${stream} ${name}`, count);
    const key = `${count} ${name}`;
    const streams = (this.#states.get(key)?.streams ?? 0) + 1;
    this.#states.set(key, { health, ramp, lastMs: Date.now(), streams });
  }
}
