import { readFile } from "node:fs/promises";
import { childAbort } from "../core/abort.ts";
import { type Clock, every } from "../core/clock.ts";
import { PROTOCOL, SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../core/defaults.ts";
import { identityOf, type TrustDomain } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { grpcChannelCredentials } from "../identity/grpc-channel.ts";
import { startWorkloadIdentity, type WorkloadIdentity } from "../identity/workload-identity.ts";
import { createTransport } from "../transport/create-transport.ts";
import type { Listener } from "../transport/transport.ts";
import { ConnectionPool } from "./http1/connection-pool.ts";
import { createEngine, DEFAULT_LIMITS, type Engine, type ServerLimits } from "./http1/engine.ts";
import { Admission } from "./inbound/admission.ts";
import { listenInbound } from "./inbound/inbound-listener.ts";
import { MeshTls } from "./mesh-tls.ts";
import { listenAdmin } from "./observe/admin-server.ts";
import { Metrics } from "./observe/metrics.ts";
import { metricsText } from "./observe/metrics-text.ts";
import { configView, gaugesText } from "./observe/proxy-state.ts";
import { DiscoveryClient } from "./outbound/discovery-client.ts";
import { listenOutbound } from "./outbound/outbound-listener.ts";
import { ServiceTable } from "./outbound/service-table.ts";

export interface ProxyOptions {
  readonly workload: {
    readonly namespace: string;
    readonly serviceAccount: string;
    readonly pod: string;
    /** Of the pod; control finds the services that it serves by it. */
    readonly address: string;
    readonly zone?: string;
  };
  readonly listen: {
    /** Of all three ports; `outboundHost` only where the app alone shall reach that one. */
    readonly host: string;
    readonly outboundHost?: string;
    /** 4140, 4143, 4191 by convention; 0 for any. */
    readonly outboundPort: number;
    readonly inboundPort: number;
    readonly adminPort: number;
  };
  /** Where the app listens; ports are those that control names. */
  readonly app: { readonly host: string };
  /** "host:port" of control's gRPC. */
  readonly controlAddress: string;
  readonly trustRootsDer: readonly Uint8Array[];
  /** ServiceAccount token with audience "causeway"; read anew for each certificate. */
  readonly tokenFile: string;
  readonly trustDomain: TrustDomain;
  readonly adapter: "auto" | "handle" | "net";
  readonly limits?: Partial<ProxyLimits>;
}

export interface ProxyLimits extends ServerLimits {
  /** TCP connect, to what speaks no TLS. */
  readonly connectMs: number;
  /** TCP connect and TLS handshake together. */
  readonly handshakeMs: number;
  /** How long the first request for a name waits for control. */
  readonly lookupMs: number;
  readonly prefaceMs: number;
  /** How long a foreign caller waits for control's first word on who may call. */
  readonly admissionMs: number;
  readonly maxAuthorities: number;
}

export interface ProxyDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Closes the proxy. */
  readonly signal: AbortSignal;
}

export interface RunningProxy {
  readonly outboundPort: number;
  readonly inboundPort: number;
  readonly adminPort: number;
  /** Accepts nothing more, lets what is under way end with `connection: close`; what is left at the deadline is cut. */
  drain(deadlineMs: number): Promise<void>;
  /** Cuts everything and frees all. */
  close(): Promise<void>;
}

const PROXY_LIMITS: ProxyLimits = {
  ...DEFAULT_LIMITS,
  connectMs: 1_000,
  handshakeMs: 4_000,
  lookupMs: 3_000,
  prefaceMs: 1_000,
  admissionMs: 1_000,
  maxAuthorities: 1_000,
};

/** Longer than the outbound side keeps a connection idle (60 s), so that it is the one to close it. */
const INBOUND_IDLE_MS = 90_000;
const SWEEP_MS = 5_000;
const ADMIN_DRAIN_MS = 10_000;
const DRAIN_LOOK_MS = 20;

/**
 * Starts a sidecar: waits for its certificate, then serves. Control may come and go later: what it said last holds.
 * @throws MeshError PORT_IN_USE, ABORTED
 */
export async function startProxy(options: ProxyOptions, deps: ProxyDeps): Promise<RunningProxy> {
  const limits = { ...PROXY_LIMITS, ...options.limits };
  const life = childAbort(deps.signal);
  const undo: (() => unknown)[] = [];
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= (async () => {
      // Ends the watches; what they are awaited with is among the steps.
      life[Symbol.dispose]();
      for (const step of undo.reverse()) await step();
    })();
    return closing;
  };
  life.signal.addEventListener("abort", () => void close(), { once: true });
  try {
    return await start(options, limits, { ...deps, signal: life.signal }, undo, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  options: ProxyOptions,
  limits: ProxyLimits,
  deps: ProxyDeps,
  undo: (() => unknown)[],
  close: () => Promise<void>,
): Promise<RunningProxy> {
  const { clock, random, log, signal } = deps;
  const { workload, listen, controlAddress, trustDomain } = options;
  const metrics = new Metrics();
  const services = new ServiceTable({
    clock,
    random,
    metrics,
    subscribe: (authority) => discovery?.subscribe(authority),
    unsubscribe: (authority) => discovery?.unsubscribe(authority),
    lookupMs: limits.lookupMs,
    maxAuthorities: limits.maxAuthorities,
  });
  undo.push(() => services.destroy());
  let discovery: DiscoveryClient | undefined;
  let identity: WorkloadIdentity | undefined;
  let serving: { engines: Engine[]; listeners: Listener[] } | undefined;
  let draining: Promise<void> | undefined;
  const drain = (deadlineMs: number): Promise<void> => {
    draining ??= drainAll(clock, serving?.engines ?? [], serving?.listeners ?? [], deadlineMs);
    return draining;
  };
  const admin = await listenAdmin(listen.host, listen.adminPort, {
    notReady: () => {
      if (draining !== undefined) return "draining";
      return serving === undefined ? "waiting for a certificate" : undefined;
    },
    metrics: () => metricsText([{ labels: "", metrics }]) + gaugesText(services, identity?.source.svid.notAfterMs ?? 0),
    config: () => ({
      workload,
      controlAddress,
      trustDomain,
      controlConnected: discovery?.connected ?? false,
      ...configView(services),
    }),
    drain: () => void drain(ADMIN_DRAIN_MS),
  });
  undo.push(() => admin.close());

  const transport = await createTransport({ adapter: options.adapter, log, clock });
  const controlIdentity = identityOf(trustDomain, SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.control);
  identity = await startWorkloadIdentity(
    {
      controlAddress,
      rootsDer: options.trustRootsDer,
      controlIdentity,
      identity: identityOf(trustDomain, workload.namespace, workload.serviceAccount),
      tokenSource: async () => (await readFile(options.tokenFile, "utf8")).trim(),
      clock,
      random,
      log,
    },
    signal,
  );
  const { source, trust, done } = identity;
  undo.push(() => done);
  const tls = new MeshTls({ source, trust, clock });

  const outboundEngine = createEngine({ clock, log, transport, limits });
  const inboundEngine = createEngine({ clock, log, transport, limits: { ...limits, idleMs: INBOUND_IDLE_MS } });
  const appPools = new Map<number, ConnectionPool>();
  const pool = (port: number): ConnectionPool => {
    const known = appPools.get(port);
    if (known !== undefined) return known;
    const made = new ConnectionPool(clock);
    appPools.set(port, made);
    return made;
  };
  const cut = () => {
    for (const engine of [outboundEngine, inboundEngine])
      for (const connection of [...engine.connections]) connection.destroy();
    for (const apps of appPools.values()) apps.destroy();
  };
  undo.push(cut);
  const outbound = await listenOutbound(
    {
      engine: outboundEngine,
      transport,
      tls,
      clock,
      random,
      services,
      metrics,
      connectMs: limits.connectMs,
      handshakeMs: limits.handshakeMs,
      unknownRow: metrics.row({ direction: "outbound", authority: "", peer: "", cluster: "" }),
    },
    listen.outboundHost ?? listen.host,
    listen.outboundPort,
  );
  undo.push(() => outbound.close());
  const rules = new Admission(trustDomain, [admin.port, outbound.port, listen.inboundPort]);
  const inbound = await listenInbound({
    engine: inboundEngine,
    transport,
    tls,
    clock,
    metrics,
    admission: rules,
    appHost: options.app.host,
    connectMs: limits.connectMs,
    pool,
    host: listen.host,
    port: listen.inboundPort,
    prefaceMs: limits.prefaceMs,
    stateMs: limits.admissionMs,
  });
  undo.push(() => inbound.close());
  rules.reserve(inbound.port);

  const watch = new DiscoveryClient(
    {
      controlAddress,
      credentials: grpcChannelCredentials({ tls: identity.tls, trustDomain, expected: controlIdentity, clock }),
      hello: {
        namespace: workload.namespace,
        pod: workload.pod,
        address: workload.address,
        protocol: PROTOCOL.discovery,
        zone: workload.zone ?? "",
      },
      clock,
      random,
      log,
    },
    {
      onService: (authority, spec) => services.apply(authority, spec),
      onLinks: (links) => services.applyLinks(links),
      onInbound: (state) => rules.apply(state),
    },
  );
  discovery = watch;
  const watching = watch.run(signal);
  undo.push(() => watching);
  undo.push(
    every(clock, SWEEP_MS, () => {
      services.sweep();
      for (const apps of appPools.values()) apps.sweep();
    }),
  );
  serving = { engines: [outboundEngine, inboundEngine], listeners: [outbound, inbound] };
  log.info("proxy.started", {
    outboundPort: outbound.port,
    inboundPort: inbound.port,
    adminPort: admin.port,
    adapter: transport.adapter,
  });
  return { outboundPort: outbound.port, inboundPort: inbound.port, adminPort: admin.port, drain, close };
}

async function drainAll(
  clock: Clock,
  engines: readonly Engine[],
  listeners: readonly Listener[],
  deadlineMs: number,
): Promise<void> {
  await Promise.all(listeners.map((listener) => listener.close()));
  for (const engine of engines) engine.draining = true;
  for (const engine of engines) for (const connection of [...engine.connections]) connection.drain();
  const untilMs = clock.nowMs() + deadlineMs;
  const open = () => engines.some((engine) => engine.connections.size > 0);
  while (open() && clock.nowMs() < untilMs) {
    await new Promise<void>((resolve) => {
      clock.after(Math.min(DRAIN_LOOK_MS, untilMs - clock.nowMs()), resolve);
    });
  }
  for (const engine of engines) for (const connection of [...engine.connections]) connection.destroy();
}
