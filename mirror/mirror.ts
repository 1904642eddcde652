import { setMaxListeners } from "node:events";
import { childAbort } from "../core/abort.ts";
import type { Clock } from "../core/clock.ts";
import { errorText, hasCode } from "../core/errors.ts";
import { defaultTrustDomain, type TrustDomain } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { KubeClient } from "../kube/client.ts";
import { RegistryView } from "../registry/registry-view.ts";
import { RegistryWriter } from "../registry/registry-writer.ts";
import { LOCAL_SERVICES, PEER_ENDPOINTS, PEER_GATEWAYS, PEER_LINKS, PEER_SERVICES } from "../registry/state.ts";
import type { RegistryStore } from "../registry/store.ts";
import { ClusterCache } from "./cluster-cache.ts";
import { ClusterZone } from "./dns/cluster-zone.ts";
import { DnsServer } from "./dns/dns-server.ts";
import { ExportController } from "./exports/export-controller.ts";
import { FailoverController } from "./failover/failover-controller.ts";
import { ImportController } from "./imports/import-controller.ts";
import { RouteController } from "./routes/route-controller.ts";

/** The lease under which one replica writes. */
const LEASE = "mirror";
const KINDS = [LOCAL_SERVICES, PEER_SERVICES, PEER_ENDPOINTS, PEER_GATEWAYS, PEER_LINKS];

export interface MirrorDeps {
  /** Our cluster's name. */
  readonly cluster: string;
  /** `<cluster>.mesh` where absent. */
  readonly trustDomain?: TrustDomain;
  readonly kube: KubeClient;
  readonly store: RegistryStore;
  /** Who we are among the replicas; unique. */
  readonly holder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Where to serve DNS; absent: nowhere. Port 0 takes a free one. */
  readonly dns?: { readonly host: string; readonly port: number };
  /** Ends the role, as `close()` does. */
  readonly signal: AbortSignal;
}

export interface Mirror {
  /** 0 where no DNS is served. */
  readonly dnsPort: number;
  /** Whether everything is listed and the registry seen, and if not, what is missing. */
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] };
  /** This replica is the one that writes. */
  readonly leading: boolean;
  /** Ends all work, gives the lease up and closes the sockets. */
  close(): Promise<void>;
}

/**
 * Runs the mirror role: exports to the registry, imports to Kubernetes, DNS. Resolves as soon as DNS listens; the rest
 * begins when API server and registry answer, however long that takes.
 * @throws MeshError PORT_IN_USE when the DNS port is taken
 */
export async function startMirror(deps: MirrorDeps): Promise<Mirror> {
  const { cluster, kube, store, holder, clock, random, signal } = deps;
  const log = deps.log.child({ role: "mirror" });
  const cache = new ClusterCache(kube);
  const view = new RegistryView({ store, kinds: KINDS, clock, random, log });
  const writer = new RegistryWriter({ store, lease: LEASE, holder, clock, random, log });
  const zone = new ClusterZone(cluster, cache, view);
  const dns = deps.dns && (await DnsServer.listen({ ...deps.dns, zone, clock, log }));

  const run = childAbort(signal);
  // An informer per kind, the view, the writer and its watches all listen, for as long as the role runs.
  setMaxListeners(64, run.signal);
  const trustDomain = deps.trustDomain ?? defaultTrustDomain(cluster);
  const exports = new ExportController({ cache, writer, kube, trustDomain, clock, log });
  const local = exports.local.bind(exports);
  const imports = new ImportController({ cluster, cache, view, writer, kube, local, clock, random, log });

  const routes = new RouteController({ cache, writer, kube, clock, random, log });

  const failover = new FailoverController({ cluster, cache, writer, kube, clock, random, log });

  const started = [cache.start(run.signal), view.start(run.signal), failover.start(run.signal)].map((starting) =>
    starting.catch((error: unknown) => {
      if (!hasCode(error, "ABORTED")) log.error("mirror.start_failed", { reason: errorText(error) });
    }),
  );
  writer.start(run.signal);

  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= (async () => {
      exports.close();
      await Promise.all([imports.close(), routes.close(), failover.close()]);
      run[Symbol.dispose]();
      await Promise.all([...started, writer.ended, view.ended, dns?.close()]);
    })();
    return closing;
  };
  run.signal.addEventListener("abort", () => void close(), { once: true });

  return {
    dnsPort: dns?.port ?? 0,
    close,
    get leading() {
      return writer.leading;
    },
    ready() {
      const reasons = cache.missing().map((kind) => `${kind} not listed yet`);
      if (!view.synced) reasons.push("registry not read yet");
      const health = store.health();
      if (health.state === "degraded") reasons.push(`registry: ${health.reason}`);
      return { ready: cache.synced && view.synced, reasons };
    },
  };
}
