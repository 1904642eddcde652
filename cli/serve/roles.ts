import { readFile } from "node:fs/promises";
import type { Clock } from "../../core/clock.ts";
import { SERVICE_ACCOUNTS, SYSTEM_NAMESPACE, TOKEN_AUDIENCE } from "../../core/defaults.ts";
import { identityOf, type TrustDomain } from "../../core/identity.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import type { HealthSettings } from "../../gateway/federation/link-health.ts";
import type { Relay } from "../../gateway/relay/relay.ts";
import type { RouteTable } from "../../gateway/route-table.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { RegistryStore } from "../../registry/store.ts";
import { publishedRoots, untilDone } from "./foundation.ts";

/** In the order in which they start. */
export const ROLES = ["control", "gateway", "mirror"] as const;
export type Role = (typeof ROLES)[number];

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ServeSettings {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  readonly kube: KubeClient;
  readonly store: RegistryStore;
  readonly replica: string;
  readonly control: Address;
  readonly controlAddresses: readonly [string, ...string[]];
  readonly federation: Address;
  readonly relay: Address;
  readonly advertise: string;
  readonly dns: Address;
  /** A projected ServiceAccount token for the gateway's own identity; absent: one is requested for each certificate. */
  readonly tokenFile: string | undefined;
  readonly health: Partial<HealthSettings>;
  /** Life of the certificates that control issues, ms. */
  readonly leafLifetimeMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface RunningRole {
  /** Undefined when ready, else what is missing. */
  notReady(): string | undefined;
  /** What is wrong although it serves; undefined where nothing is. */
  degraded?(): string | undefined;
  /** Prometheus text. */
  metrics(): string;
  close(): Promise<void>;
}

/** Connections of peers get this long to end when the gateway stops. */
const DRAIN_MS = 1_000;
const TOKEN_TTL_SECONDS = 3_600;

/** Starts one role; each loads its own part of the code. */
export function startRole(role: Role, settings: ServeSettings, signal: AbortSignal): Promise<RunningRole> {
  switch (role) {
    case "control":
      return serveControl(settings, signal);
    case "gateway":
      return serveGateway(settings, signal);
    case "mirror":
      return serveMirror(settings, signal);
    default:
      return role satisfies never;
  }
}

async function serveControl(settings: ServeSettings, signal: AbortSignal): Promise<RunningRole> {
  const { startControl } = await import("../../control/control.ts");
  const control = await startControl(
    { ...settings, listen: settings.control, holder: `control-${settings.replica}` },
    signal,
  );
  return {
    notReady: () => control.notReady(),
    degraded: () => control.degraded(),
    metrics: () =>
      gauge("control_discovery_streams", "Proxies that watch discovery.", control.proxies()) + control.metricsText(),
    close: () => control.close(),
  };
}

async function serveMirror(settings: ServeSettings, signal: AbortSignal): Promise<RunningRole> {
  const { startMirror } = await import("../../mirror/mirror.ts");
  const mirror = await startMirror({ ...settings, holder: `mirror-${settings.replica}`, signal });
  return {
    notReady() {
      const { ready, reasons } = mirror.ready();
      return ready ? undefined : reasons.join("; ");
    },
    metrics: () =>
      gauge("mirror_leading", "1 where this replica applies mirrors to Kubernetes.", mirror.leading ? 1 : 0),
    close: () => mirror.close(),
  };
}

async function serveGateway(settings: ServeSettings, signal: AbortSignal): Promise<RunningRole> {
  const { advertiseGateway } = await import("../../gateway/advertise.ts");
  const { startGateway } = await import("../../gateway/gateway.ts");
  const { startRelay } = await import("../../gateway/relay/relay.ts");
  const { createTransport } = await import("../../transport/create-transport.ts");
  const { startWorkloadIdentity } = await import("../../identity/workload-identity.ts");
  const { cluster, trustDomain, kube, clock, random, log, controlAddresses } = settings;
  const accountOf = (name: string) => identityOf(trustDomain, SYSTEM_NAMESPACE, name);
  const rootsDer = await untilDone("trust", () => publishedRoots(kube), clock, log, signal);
  const identity = await startWorkloadIdentity(
    {
      controlAddresses,
      rootsDer,
      controlIdentity: accountOf(SERVICE_ACCOUNTS.control),
      identity: accountOf(SERVICE_ACCOUNTS.gateway),
      tokenSource: () => gatewayToken(settings),
      clock,
      random,
      log,
    },
    signal,
  );
  const transport = await createTransport({ adapter: "auto", clock, log, loneWritesAtOnce: true });
  const advertise = {
    host: settings.advertise,
    relayPort: settings.relay.port,
    federationPort: settings.federation.port,
    zone: "",
  };
  let relaying: Promise<Relay> | undefined;
  const onRoutes = (routes: RouteTable) => {
    relaying = startRelay({
      transport,
      ...settings.relay,
      routes,
      clock,
      log,
    });
  };
  const { store, federation, replica } = settings;
  const holder = `gateway-${replica}`;
  // Until it runs, the process's end is its end; then it is told by close(), and says goodbye first.
  const life = new AbortController();
  const end = () => life.abort(signal.reason);
  if (signal.aborted) end();
  signal.addEventListener("abort", end, { once: true });
  const gateway = await startGateway({
    ...{
      cluster,
      trustDomain,
      kube,
      store,
      identity,
      federation,
      advertise,
      holder,
      health: settings.health,
      clock,
      random,
      log,
      onRoutes,
      signal: life.signal,
    },
  });
  const relay = await relaying;
  await untilDone("advertise", () => advertiseGateway(kube, holder, advertise), clock, log, signal);
  signal.removeEventListener("abort", end);
  return {
    notReady: () => undefined,
    metrics: () => (relay?.metricsText() ?? "") + gateway.metricsText() + drainedText(gateway.drained),
    async close() {
      // Peers hear of it first, so that what they have under way here ends by itself.
      await gateway.leave();
      await relay?.drain(DRAIN_MS);
      await gateway.close();
      life.abort();
      await relay?.close();
      await identity.done;
    },
  };
}

async function gatewayToken({ kube, tokenFile }: ServeSettings): Promise<string> {
  if (tokenFile !== undefined) return (await readFile(tokenFile, "utf8")).trim();
  const { gateway } = SERVICE_ACCOUNTS;
  return (await kube.requestToken(SYSTEM_NAMESPACE, gateway, [TOKEN_AUDIENCE], TOKEN_TTL_SECONDS)).token;
}

function drainedText(shares: ReadonlyMap<string, number>): string {
  const name = "gateway_cluster_drained_share";
  const lines = [...shares].map(([cluster, share]) => `${name}{cluster="${cluster}"} ${share}\n`);
  if (lines.length === 0) return "";
  return `# HELP ${name} Share of an evacuated cluster's traffic that is to go elsewhere.\n# TYPE ${name} gauge\n${lines.join("")}`;
}

function gauge(name: string, help: string, value: number): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${value}\n`;
}
