import { readFile } from "node:fs/promises";
import { childAbort } from "../core/abort.ts";
import { type Clock, every } from "../core/clock.ts";
import { PROTOCOL, SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../core/defaults.ts";
import { type Identity, identityOf, type TrustDomain } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { startWorkloadIdentity, type WorkloadIdentity } from "../identity/workload-identity.ts";
import type { MuxContext } from "../transport/mux/mux-context.ts";
import {
  type InterceptMode,
  loadOriginalDestinations,
  type OriginalDestinations,
} from "../transport/original-destination.ts";
import type { Listener, Transport } from "../transport/transport.ts";
import { Detections } from "./detect/detections.ts";
import type { Hops } from "./hops.ts";
import { ConnectionPool } from "./http1/connection-pool.ts";
import {
  ADDED_BYTES,
  ADDED_FIELDS,
  createEngine,
  DEFAULT_LIMITS,
  type Engine,
  type ServerLimits,
} from "./http1/engine.ts";
import { DEFAULT_FLOOD_LIMITS, type FloodLimits } from "./http2/flood-guard.ts";
import { Http2Pool } from "./http2/http2-pool.ts";
import { Admission } from "./inbound/admission.ts";
import { AppAddresses, type AppPlace } from "./inbound/app-addresses.ts";
import { InboundLimits } from "./inbound/inbound-limits.ts";
import { listenInbound } from "./inbound/inbound-listener.ts";
import { Interception } from "./interception.ts";
import { ANY, LOOPBACK, listenEach, listenFirst } from "./listening.ts";
import { type LoopCheck, startLoopCheck } from "./loop-check.ts";
import { LoopGuard } from "./loop-guard.ts";
import { MeshTls } from "./mesh-tls.ts";
import type { Families } from "./observe/families.ts";
import { Metrics } from "./observe/metrics.ts";
import { addMetrics } from "./observe/metrics-text.ts";
import { addGauges, configView } from "./observe/proxy-state.ts";
import { DiscoveryClient } from "./outbound/discovery-client.ts";
import { http2Server } from "./outbound/http2-handler.ts";
import { listenOutbound } from "./outbound/outbound-listener.ts";
import { ServiceTable } from "./outbound/service-table.ts";
import type { TurnLimit } from "./turn-limit.ts";

/** One workload: whom it is, where it listens, and whom it asks. */
export interface WorkloadOptions {
  readonly workload: {
    readonly namespace: string;
    readonly serviceAccount: string;
    readonly pod: string;
    /** Of the pod; control finds the services that it serves by it. */
    readonly address: string;
    readonly zone?: string;
  };
  readonly listen: {
    /** Of both ports; `outboundHost` only where the app alone shall reach that one. */
    readonly host: string;
    readonly outboundHost?: string;
    /** 4140 and 4143 by convention; 0 for any. */
    readonly outboundPort: number;
    readonly inboundPort: number;
  };
  /** Where the app listens; ports are those that control names. */
  readonly app: AppPlace;
  /** "host:port" of control's gRPC. */
  readonly controlAddresses: readonly [string, ...string[]];
  readonly trustRootsDer: readonly Uint8Array[];
  /** ServiceAccount token with audience "causeway"; read anew for each certificate. */
  readonly tokenFile: string;
  readonly trustDomain: TrustDomain;
  readonly limits?: Partial<ProxyLimits>;
  /**
   * Connections of the app, and to it, are redirected to both ports (mesh proxy-init): the outbound one then listens on
   * loopback, the inbound one on every address. `inboundPlain`: whether callers without an identity come in.
   */
  readonly intercept?: { readonly mode: InterceptMode; readonly inboundPlain: "allow" | "deny" };
  /** How long capacity of a federated service that comes back takes to have all of its share again; 10 s by default. */
  readonly failbackMs?: number;
  /** Whether the connections to another proxy share a few; true by default. What others do is always accepted. */
  readonly multiplex?: boolean;
}

export interface ProxyLimits extends ServerLimits, FloodLimits {
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
  /** How long a client may be silent before its protocol is taken for opaque. */
  readonly detectMs: number;
}

export interface WorkloadDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly transport: Transport;
  /** Of the process. */
  readonly mux: MuxContext;
  /** Of the process, where it serves more than one. */
  readonly hops?: Hops;
  /** How many requests it may begin in a turn of the event loop, where others share the process. */
  readonly turns?: TurnLimit;
  /** Ports of the process itself, which nobody is forwarded to. */
  readonly reservedPorts: readonly number[];
  /** Closes it. */
  readonly signal: AbortSignal;
}

const PROXY_LIMITS: ProxyLimits = {
  ...DEFAULT_LIMITS,
  ...DEFAULT_FLOOD_LIMITS,
  connectMs: 1_000,
  handshakeMs: 4_000,
  lookupMs: 3_000,
  prefaceMs: 1_000,
  admissionMs: 1_000,
  maxAuthorities: 1_000,
  detectMs: 10_000,
};

/** Longer than the outbound side keeps a connection idle (60 s), so that it is the one to close it. */
const INBOUND_IDLE_MS = 90_000;
const SWEEP_MS = 5_000;
const DRAIN_LOOK_MS = 20;

/**
 * The proxy of one workload, with an identity, services, limits and metrics of its own. A process has one of these as
 * a sidecar, or one for each workload of its node.
 */
export class WorkloadProxy {
  readonly identity: Identity;
  readonly #options: WorkloadOptions;
  readonly #limits: ProxyLimits;
  readonly #deps: WorkloadDeps;
  readonly #life: ReturnType<typeof childAbort>;
  readonly #undo: (() => unknown)[] = [];
  readonly #metrics = new Metrics();
  readonly #services: ServiceTable;
  #discovery: DiscoveryClient | undefined;
  #certified: WorkloadIdentity | undefined;
  #serving:
    | {
        readonly engines: readonly Engine[];
        readonly outbound: Listener;
        readonly inbound: Listener;
        readonly leave: () => void;
      }
    | undefined;
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: WorkloadOptions, deps: WorkloadDeps) {
    const { workload, trustDomain } = options;
    this.#options = options;
    this.#limits = { ...PROXY_LIMITS, ...options.limits };
    this.#life = childAbort(deps.signal);
    this.#deps = { ...deps, signal: this.#life.signal };
    this.identity = identityOf(trustDomain, workload.namespace, workload.serviceAccount);
    this.#services = new ServiceTable({
      clock: deps.clock,
      random: deps.random,
      metrics: this.#metrics,
      log: deps.log,
      zone: workload.zone ?? "",
      failbackMs: options.failbackMs,
      mux: options.multiplex === false ? undefined : deps.mux,
      subscribe: (authority) => this.#discovery?.subscribe(authority),
      unsubscribe: (authority) => this.#discovery?.unsubscribe(authority),
      connected: () => this.#discovery?.connected ?? false,
      lookupMs: this.#limits.lookupMs,
      maxAuthorities: this.#limits.maxAuthorities,
    });
    this.#undo.push(() => this.#services.destroy());
    this.#life.signal.addEventListener("abort", () => void this.close(), { once: true });
  }

  get outboundPort(): number {
    return this.#serving?.outbound.port ?? 0;
  }

  get inboundPort(): number {
    return this.#serving?.inbound.port ?? 0;
  }

  /** Why it does not serve; undefined where it does. */
  get notReady(): string | undefined {
    if (this.#draining !== undefined) return "draining";
    return this.#serving === undefined ? "waiting for a certificate" : undefined;
  }

  /** Adds its counters and gauges; `labels` (`a="b"`) come before all others. */
  addMetrics(families: Families, labels: string): void {
    addMetrics(families, labels, this.#metrics);
    addGauges(families, labels, this.#services, this.#certified?.source.svid.notAfterMs ?? 0);
  }

  /** What it knows, for people; no key material. */
  config(): object {
    const { workload, controlAddresses, trustDomain } = this.#options;
    return {
      workload,
      controlAddresses,
      trustDomain,
      controlConnected: this.#discovery?.connected ?? false,
      ...configView(this.#services),
    };
  }

  /**
   * Waits for its certificate, then serves. Control may come and go later: what it said last holds. To be closed
   * when it fails. @throws MeshError PORT_IN_USE, INTERCEPTION, ABORTED
   */
  async start(): Promise<void> {
    const { clock, random, log, transport, signal } = this.#deps;
    const { workload, controlAddresses, trustDomain, intercept } = this.#options;
    const controlIdentity = identityOf(trustDomain, SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.control);
    const originals = intercept === undefined ? undefined : await loadOriginalDestinations(intercept.mode);
    const check = originals === undefined ? undefined : await this.#checkLoops(originals);
    const certifying = startWorkloadIdentity(
      {
        controlAddresses,
        rootsDer: this.#options.trustRootsDer,
        controlIdentity,
        identity: this.identity,
        tokenSource: async () => (await readFile(this.#options.tokenFile, "utf8")).trim(),
        clock,
        random,
        log,
      },
      signal,
    );
    // Where it has come to nothing, nobody waits for the certificate any more.
    certifying.catch(() => {});
    const certified = await (check === undefined ? certifying : Promise.race([certifying, check.looped]));
    this.#certified = certified;
    this.#undo.push(() => certified.done);
    await check?.close();
    const tls = new MeshTls({ source: certified.source, trust: certified.trust, clock });
    const { rules, serving } = await this.#listen(tls, originals);
    const watch = new DiscoveryClient(
      {
        control: certified.control,
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
        onService: (authority, spec) => this.#services.apply(authority, spec),
        onLinks: (links) => this.#services.applyLinks(links),
        onInbound: (state) => rules.apply(state),
      },
    );
    this.#discovery = watch;
    // The ports are open already: names that were asked for meanwhile would wait for ever.
    for (const authority of this.#services.authorities()) watch.subscribe(authority);
    const watching = watch.run(signal);
    this.#undo.push(() => watching);
    this.#serving = serving;
    log.info("proxy.started", {
      identity: this.identity,
      outboundPort: serving.outbound.port,
      inboundPort: serving.inbound.port,
      adapter: transport.adapter,
    });
  }

  async #checkLoops(originals: OriginalDestinations): Promise<LoopCheck> {
    const { controlAddresses, listen } = this.#options;
    const [controlAddress] = controlAddresses;
    const colon = controlAddress.lastIndexOf(":");
    const host = controlAddress.slice(0, colon).replace(/^\[|\]$/g, "");
    const control = { host, port: Number(controlAddress.slice(colon + 1)) };
    const check = await startLoopCheck({ ...this.#deps, originals }, listen.outboundPort, control);
    this.#undo.push(() => check.close());
    return check;
  }

  async #listen(tls: MeshTls, originals: OriginalDestinations | undefined) {
    const { clock, random, log, transport, mux, hops, turns, reservedPorts } = this.#deps;
    const { workload, listen, app, trustDomain } = this.#options;
    const limits = this.#limits;
    const { maxIdleFrames, idleFramesPerSecond, maxResets, resetsPerSecond } = limits;
    const floods = { maxIdleFrames, idleFramesPerSecond, maxResets, resetsPerSecond };
    const metrics = this.#metrics;
    const services = this.#services;
    const outboundEngine = createEngine({ clock, log, transport, limits, turns });
    const inboundLimits = {
      ...limits,
      idleMs: INBOUND_IDLE_MS,
      maxHeadBytes: limits.maxHeadBytes + ADDED_BYTES,
      maxHeadFields: limits.maxHeadFields + ADDED_FIELDS,
    };
    const inboundEngine = createEngine({ clock, log, transport, limits: inboundLimits, turns });
    const engines = [outboundEngine, inboundEngine];
    const appPools = new Map<number, { readonly http1: ConnectionPool; readonly http2: Http2Pool }>();
    const pools = (port: number) => {
      const known = appPools.get(port);
      if (known !== undefined) return known;
      const made = { http1: new ConnectionPool(clock, random), http2: new Http2Pool() };
      appPools.set(port, made);
      return made;
    };
    this.#undo.push(() => {
      for (const engine of engines) cut(engine);
      for (const { http1, http2 } of appPools.values()) {
        http1.destroy();
        http2.destroy();
      }
    });
    const { intercept } = this.#options;
    const interception = originals === undefined ? undefined : new Interception(originals, reservedPorts);
    const deps = {
      engine: outboundEngine,
      transport,
      tls,
      clock,
      random,
      services,
      metrics,
      floods,
      connectMs: limits.connectMs,
      handshakeMs: limits.handshakeMs,
      hops,
      log,
      detections: new Detections("outbound", metrics, log),
      detectMs: limits.detectMs,
      unknownRow: metrics.row({ direction: "outbound", authority: "", peer: "", cluster: "" }),
      ...(interception === undefined ? {} : { interception, loops: new LoopGuard({ clock, log, metrics }) }),
    };
    const outbound = await listenEach(
      interception === undefined ? [listen.outboundHost ?? listen.host] : LOOPBACK,
      listen.outboundPort,
      log,
      (host, port) => listenOutbound({ ...deps, serveHttp2: http2Server(deps) }, host, port),
    );
    this.#undo.push(() => outbound.close());
    const rules = new Admission(trustDomain, [...reservedPorts, outbound.port, listen.inboundPort]);
    const apps = new AppAddresses(app, workload.pod);
    rules.onChange(() => {
      for (const port of apps.apply(rules.sockets)) {
        const before = appPools.get(port);
        appPools.delete(port);
        before?.http1.close();
        before?.http2.close();
      }
    });
    const takes = new InboundLimits({ clock, random, metrics, admission: rules });
    this.#undo.push(() => takes.close());
    const intercepted =
      interception === undefined
        ? undefined
        : {
            interception,
            detections: new Detections("inbound", metrics, log),
            detectMs: limits.detectMs,
            plain: intercept?.inboundPlain ?? "allow",
            trustDomain,
          };
    const inbound = await listenFirst(intercepted === undefined ? [listen.host] : ANY, (host) =>
      listenInbound({
        engine: inboundEngine,
        transport,
        tls,
        clock,
        metrics,
        mux,
        admission: rules,
        apps,
        limits: takes,
        floods,
        connectMs: limits.connectMs,
        pool: (port) => pools(port).http1,
        http2Pool: (port) => pools(port).http2,
        host,
        port: listen.inboundPort,
        prefaceMs: limits.prefaceMs,
        stateMs: limits.admissionMs,
        ...(intercepted === undefined ? {} : { intercepted }),
      }),
    );
    this.#undo.push(() => inbound.close());
    const neighbour = {
      get chain() {
        return tls.chain;
      },
      accept: inbound.accept,
    };
    const leave = hops?.add(listen.host, inbound.port, neighbour) ?? (() => {});
    this.#undo.push(leave);
    rules.reserve(inbound.port);
    interception?.reserve(outbound.port, inbound.port);
    this.#undo.push(
      every(clock, SWEEP_MS, () => {
        services.sweep();
        for (const { http1, http2 } of appPools.values()) {
          http1.sweep();
          http2.sweep();
        }
      }),
    );
    return { rules, serving: { engines, outbound, inbound, leave } };
  }

  /** Accepts nothing more, lets what is under way end with `connection: close`; what is left at the deadline is cut. */
  drain(deadlineMs: number): Promise<void> {
    this.#draining ??= this.#drain(deadlineMs);
    return this.#draining;
  }

  async #drain(deadlineMs: number): Promise<void> {
    const { clock } = this.#deps;
    if (this.#serving === undefined) return;
    const { engines, outbound, inbound, leave } = this.#serving;
    leave();
    await Promise.all([outbound.close(), inbound.close()]);
    for (const engine of engines) engine.draining = true;
    for (const engine of engines) for (const connection of [...engine.connections]) connection.drain();
    const untilMs = clock.nowMs() + deadlineMs;
    const open = () => engines.some((engine) => engine.connections.size > 0);
    while (open() && clock.nowMs() < untilMs) {
      await new Promise<void>((resolve) => {
        clock.after(Math.min(DRAIN_LOOK_MS, untilMs - clock.nowMs()), resolve);
      });
    }
    for (const engine of engines) cut(engine);
  }

  /** Cuts everything and frees all. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      // Ends the watches; what they are awaited with is among the steps.
      this.#life[Symbol.dispose]();
      for (const step of this.#undo.reverse()) await step();
    })();
    return this.#closing;
  }
}

function cut(engine: Engine): void {
  for (const connection of [...engine.connections]) connection.destroy();
}
