import { createHash } from "node:crypto";
import { childAbort } from "../../core/abort.ts";
import { backoffMs, RECONNECT } from "../../core/backoff.ts";
import { type Clock, sleep } from "../../core/clock.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import { parseTrustDomain, type TrustDomain } from "../../core/identity.ts";
import type { GatewayAddress, LinkState } from "../../core/link.ts";
import type { Log } from "../../core/log.ts";
import { limitLog } from "../../core/log-limit.ts";
import type { Random } from "../../core/random.ts";
import { TokenBucket } from "../../core/token-bucket.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import type { TrustStore } from "../../identity/trust-store.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { Link } from "../../kube/resources.ts";
import { PEER_LINKS, stateKey } from "../../registry/state.ts";
import type { RegistryStore } from "../../registry/store.ts";
import type { Evacuations } from "./evacuations.ts";
import type { FederationMetrics } from "./federation-metrics.ts";
import { federationAuthority } from "./gateway-address.ts";
import { LIMITS } from "./limits.ts";
import type { HealthSettings } from "./link-health.ts";
import { type JoinSubject, LinkJoiner } from "./link-joiner.ts";
import { LinkMonitor } from "./link-monitor.ts";
import { LinkObject } from "./link-object.ts";
import type { JoinedLink, LinkRecord } from "./link-record.ts";
import { LinkRemoval, type RemovalSubject } from "./link-removal.ts";
import { LinkSecret } from "./link-secret.ts";
import type { LinkSituation } from "./link-status.ts";
import { LinkStatusWriter } from "./link-status-writer.ts";
import type { LocalChange, LocalState } from "./local-state.ts";
import { peerExports } from "./peer-exports.ts";
import { PeerImports, type PeerTrustStore, type StateWriter } from "./peer-imports.ts";
import { PeerPenalty } from "./peer-penalty.ts";
import { PeerRefusal } from "./peer-refusal.ts";
import { peerText } from "./peer-text.ts";
import type { DialSync } from "./sync-grpc.ts";
import type { SyncPipe } from "./sync-pipe.ts";
import { endText, type SessionEnd, SyncSession } from "./sync-session.ts";
import { WakeUp } from "./wake-up.ts";
import type { PeerNames } from "./wire.ts";

/** How long a peer says that it has unlinked us before its mirrors go: time to link again, or to ask why. */
const UNLINK_GRACE_MS = 600_000;

export interface LinkRunnerDeps {
  readonly own: PeerNames;
  readonly epoch: bigint;
  readonly kube: KubeClient;
  readonly store: RegistryStore;
  readonly writer: StateWriter;
  readonly state: LocalState;
  /** Whom this gateway believes; who is not in it is not dialled. */
  readonly trust: TrustStore;
  readonly dial: DialSync;
  /** The peer has a stream of another replica of ours in place of this one. */
  readonly onReplaced?: () => void;
  /** A stream has ended, whoever opened it. */
  readonly onStreamEnd?: () => void;
  readonly ownBundle: () => TrustBundle;
  /** Of this cluster, as peers are told. */
  readonly gateways: () => readonly GatewayAddress[];
  readonly health: HealthSettings;
  readonly evacuations: Evacuations;
  readonly metrics: FederationMetrics;
  /** 10 minutes without. */
  readonly unlinkGraceMs?: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Everything that one link wants done, by the replica that has its lease: join, keep the stream open, write what the peer
 * exports, tell of health and status, unlink. Level-triggered: `update` says how things are, and each of its loops
 * works until they are as they should be.
 */
export class LinkRunner {
  readonly name: string;
  readonly #deps: LinkRunnerDeps;
  readonly #abort: ReturnType<typeof childAbort>;
  readonly #log: Log;
  readonly #imports: PeerImports;
  readonly #secret: LinkSecret;
  readonly #monitor: LinkMonitor;
  readonly #tasks: Promise<void>[];
  readonly #unwatch: () => void;
  readonly #changes: WakeUp;
  readonly #link: LinkObject;
  readonly #status: LinkStatusWriter;
  readonly #joiner: LinkJoiner;
  readonly #removal: LinkRemoval;
  #record: LinkRecord;
  #session: SyncSession | undefined;
  #peerWants = true;
  #wasConnected = false;
  readonly #refusal = new PeerRefusal();
  readonly #penalty = new PeerPenalty();
  readonly #streams: TokenBucket;
  /** What was refused of the last stream. */
  #refused: readonly string[] = [];
  /** The token that this runner has joined with. */
  #redeemed = "";
  #closing = false;
  #leading: boolean;
  #reason = "";

  constructor(
    link: Link,
    record: LinkRecord,
    before: LinkState | undefined,
    deps: LinkRunnerDeps,
    signal: AbortSignal,
    leading = true,
  ) {
    this.#leading = leading;
    this.name = link.metadata.name;
    this.#link = new LinkObject(link, deps.kube);
    this.#record = record;
    this.#deps = deps;
    this.#abort = childAbort(signal);
    this.#changes = new WakeUp(deps.clock, this.#abort.signal);
    // Most of what a link logs is its peer's doing.
    this.#log = limitLog(deps.log.child({ link: this.name }), deps.clock);
    this.#status = new LinkStatusWriter(this.#link, deps.clock, this.#log);
    this.#streams = new TokenBucket(deps.clock, LIMITS.streamsPerSecond, LIMITS.streams);
    const secretName = () => this.#link.spec.secretName;
    this.#secret = new LinkSecret(deps.kube, this.name, secretName, (stored) => {
      this.#record = stored;
      if (stored.joined !== undefined) this.#onJoined(stored.joined);
      this.#wake();
    });
    const known = () => this.#record.joined?.bundle;
    const trust: PeerTrustStore = {
      get bundle() {
        return known();
      },
      save: (change) => this.#secret.saveTrust(change),
    };
    this.#imports = new PeerImports(this.name, deps.writer, trust, () => this.#link.spec.import);
    this.#monitor = new LinkMonitor({
      cluster: this.name,
      settings: deps.health,
      clock: deps.clock,
      before,
      facts: () => ({
        agreed: this.#session?.agreed ?? false,
        reason: this.#session?.doubt ?? this.#reason,
        refused: [
          ...(this.#penalty.text === "" ? [] : [this.#penalty.text]),
          ...(this.#session?.refusals ?? this.#refused),
        ],
        evacuated: deps.evacuations.share(this.name),
      }),
      publish: (state) => {
        // One that ends must not have the last word over its successor.
        if (this.#closing) return;
        if (this.#record.joined !== undefined && !this.#link.deleting) {
          this.#log.info("link state", {
            health: state.health,
            active: state.active,
            ramp: state.ramp,
            reason: state.reason,
          });
          deps.writer.set(stateKey(PEER_LINKS, this.name), PEER_LINKS.encode(state));
        }
        if (state.stale === true) this.#wake();
        this.#touchStatus();
        if (state.health === "dead") this.#leaveSilentGateway();
      },
    });
    if (record.joined !== undefined) this.#onJoined(record.joined);
    const unwatch = [
      deps.state.onChange((change) => this.#onLocalChange(change)),
      deps.evacuations.onChange(() => this.#monitor.changed()),
    ];
    this.#unwatch = () => {
      for (const stop of unwatch) stop();
    };
    const linkDeps = { ...deps, log: this.#log };
    this.#joiner = new LinkJoiner(this.name, linkDeps, this.#joinSubject());
    this.#removal = new LinkRemoval(this.#link, linkDeps, this.#removalSubject());
    const { signal: ended } = this.#abort;
    const loops = [
      this.#joiner.run(ended),
      this.#streamLoop(),
      this.#status.run(() => (this.#leading ? this.#situation() : undefined), ended),
      this.#removal.run(ended),
    ];
    this.#tasks = loops.map((loop) =>
      loop.catch((error: unknown) => this.#log.error("link loop ended", { reason: errorText(error) })),
    );
  }

  /** It has a stream. */
  get streaming(): boolean {
    return this.#session !== undefined;
  }

  get uid(): string | undefined {
    return this.#link.uid;
  }

  /**
   * This replica has the link's lease from now on. Until then the runner only takes the stream that the peer opens, so
   * that no stream waits for the registry.
   */
  lead(): void {
    this.#leading = true;
    this.#wake();
  }

  /** How the Link and its Secret are now. */
  update(link: Link, seen: LinkRecord): void {
    // The informer may still show the Secret from before the join: to believe it would be to join again.
    const overtaken = seen.joined === undefined && seen.token !== undefined && seen.token === this.#redeemed;
    const record = overtaken ? this.#record : seen;
    const renamed = record.joined?.joinedBy !== this.#record.joined?.joinedBy;
    const { spec: before } = this.#link;
    this.#link.update(link);
    // What each side wants of the other is said in Hello.
    if (before.import !== link.spec.import || before.export !== link.spec.export)
      void this.#session?.goodbye("changed");
    // What was saved a moment ago may be newer than what the informer has seen.
    const known = this.#record.joined;
    const outdated =
      !renamed &&
      known !== undefined &&
      record.joined !== undefined &&
      known.bundle.sequence > record.joined.bundle.sequence;
    this.#record = outdated ? { ...record, joined: known } : record;
    if (renamed) this.#session?.touch("KIND_ENDPOINTS", "all");
    if (this.#record.joined !== undefined) this.#onJoined(this.#record.joined);
    this.#wake();
    this.#monitor.changed();
  }

  #onJoined({ bundle }: JoinedLink): void {
    if (this.#link.deleting) return;
    this.#monitor.start();
    this.#imports.publishBundle(bundle);
  }

  /** Takes a stream that the peer opened and proved to be its own; an earlier one gives way. */
  async accept(open: () => SyncPipe): Promise<void> {
    const { own } = this.#deps;
    if (this.#link.deleting || this.#record.joined === undefined)
      throw new MeshError("LINK_UNKNOWN", `Cannot sync: ${own.cluster} is not linked to ${this.name}.`);
    if (this.#link.spec.dial && own.cluster < this.name) {
      throw new MeshError("LINK_EXISTS", `Cannot sync: both sides dial, and ${own.cluster}'s stream is the one.`);
    }
    const waitMs = this.#penalty.waitMs(this.#deps.clock.nowMs());
    if (waitMs > 0 || !this.#streams.take()) {
      const why = waitMs > 0 ? `it was cut off: ${this.#penalty.text}` : "it opens streams too fast.";
      throw new MeshError("LIMIT_EXCEEDED", `Cannot sync with ${this.name}: ${why}`);
    }
    await this.#session?.goodbye("replaced");
    // Another may have come in the meantime.
    if (this.#session !== undefined) throw new MeshError("LINK_EXISTS", "Cannot sync: another stream was faster.");
    this.#run(open()).catch((error: unknown) => this.#log.error("stream failed", { reason: errorText(error) }));
  }

  /** Stops, telling the peer that this gateway goes and not the link. */
  async close(reason: string): Promise<void> {
    this.#closing = true;
    await this.#session?.goodbye(reason);
    this.#abort.abort();
    this.#wake();
    this.#monitor.close();
    this.#unwatch();
    await Promise.all(this.#tasks);
    this.#abort[Symbol.dispose]();
  }

  get #trustDomain(): TrustDomain {
    return parseTrustDomain(this.#link.spec.trustDomain);
  }

  #wake(): void {
    this.#changes.wake();
    this.#touchStatus();
  }

  #touchStatus(): void {
    this.#status.touch();
  }

  #joinSubject(): JoinSubject {
    const runner = this;
    return {
      get spec() {
        return runner.#link.spec;
      },
      get token() {
        return runner.#link.deleting || !runner.#leading ? undefined : runner.#record.token;
      },
      get epoch() {
        return runner.#record.joined?.epoch ?? 0n;
      },
      async joined(token, joined) {
        await runner.#secret.saveJoined(token, joined);
        runner.#redeemed = token;
        runner.#session?.touch("KIND_ENDPOINTS", "all");
      },
      changed: () => this.#touchStatus(),
      next: () => this.#changes.next(),
    };
  }

  #removalSubject(): RemovalSubject {
    const runner = this;
    return {
      get leading() {
        return runner.#leading;
      },
      get joined() {
        return runner.#record.joined;
      },
      goodbye: async () => this.#session?.goodbye("unlinked"),
      clear: () => this.#imports.clear(),
      removeSecret: () => this.#secret.remove(),
      next: () => this.#changes.next(),
    };
  }

  /** Keeps a stream open for ever where this side dials, or has to in the end, going round the peer's gateways. */
  async #streamLoop(): Promise<void> {
    const { clock, random, dial, store } = this.#deps;
    await this.#imports
      .recall(store)
      .catch((error: unknown) => this.#log.warn("registry not recalled", { reason: errorText(error) }));
    // Peers begin at different ones of our gateways. The address that a stream was lost at comes last of the next round.
    let next = startOf(this.#deps.own.cluster);
    for (let attempt = 0; !this.#abort.signal.aborted; ) {
      const { joined } = this.#record;
      const believed = joined !== undefined && this.#deps.trust.bundles.has(joined.bundle.trustDomain);
      // Who was not heard of for so long may have unlinked while this side was away, and nobody else would ask.
      const dials = this.#link.spec.dial || this.#monitor.state.stale === true;
      const wanted = believed && dials && this.#leading;
      if (!wanted || this.#link.deleting || this.#session !== undefined) {
        await this.#changes.next();
        continue;
      }
      const waitMs = this.#penalty.waitMs(clock.nowMs());
      if (waitMs > 0) {
        await this.#changes.next(waitMs);
        continue;
      }
      const addresses = this.#addresses(joined);
      const address = addresses[next++ % addresses.length];
      if (address === undefined) {
        this.#reason = "the peer has no gateway address";
        await this.#changes.next(RECONNECT.maxMs);
        continue;
      }
      const end = await this.#run(dial({ cluster: this.name, trustDomain: this.#trustDomain }, address));
      if (end === undefined || this.#abort.signal.aborted) continue;
      // So that a round through the others is to be had without a wait.
      if (end.greeted) attempt = addresses.length > 1 ? -addresses.length : 0;
      this.#log.info("stream ended", { gateway: federationAuthority(address), reason: this.#reason });
      // All of the addresses are worth a try before there is a real wait.
      const round = Math.floor(attempt++ / addresses.length);
      if (round < 0) continue;
      await sleep(clock, backoffMs(round, RECONNECT, random), this.#abort.signal).catch(() => {});
    }
  }

  /** A stream that stands while nothing comes over it: another of the peer's gateways may say more. */
  #leaveSilentGateway(): void {
    const { joined } = this.#record;
    if (!this.#link.spec.dial || joined === undefined || this.#addresses(joined).length < 2) return;
    this.#session?.fail(new MeshError("STREAM_CLOSED", `Cannot sync with ${this.name}: its gateway fell silent.`));
  }

  #addresses(joined: JoinedLink): { host: string; federationPort: number }[] {
    const all = new Map([...joined.gateways, ...this.#link.spec.gateways].map((g) => [federationAuthority(g), g]));
    return [...all.values()];
  }

  /** Runs one stream to its end. */
  async #run(pipe: SyncPipe): Promise<(SessionEnd & { greeted: boolean }) | undefined> {
    const { own, clock, epoch, state, gateways, health, evacuations } = this.#deps;
    const peer = { cluster: this.name, trustDomain: this.#trustDomain };
    const exports = peerExports({
      state,
      peer: this.name,
      trustDomain: own.trustDomain,
      gateways,
      routes: () => {
        const { joined } = this.#record;
        if (joined === undefined)
          throw new MeshError("LINK_UNKNOWN", `Cannot name routes for ${this.name}: it is not joined.`);
        return { linkSecret: joined.linkSecret, epoch: joined.epoch, cluster: own.cluster };
      },
      offered: () => this.#link.spec.export && this.#peerWants,
    });
    const { metrics } = this.#deps;
    let agreedMs: number | undefined;
    const session = new SyncSession(pipe, {
      own,
      peer,
      epoch,
      wantsImport: this.#link.spec.import,
      offersExport: this.#link.spec.export,
      sources: exports,
      sink: this.#imports,
      heartbeatMs: health.heartbeatMs,
      drained: () => evacuations.share(own.cluster),
      clock,
      log: this.#log,
      observer: {
        onHello: (hello) => {
          this.#peerWants = hello.wantsImport;
          this.#wasConnected = true;
          this.#refusal.greeted();
          this.#log.info("stream open");
        },
        onHeartbeat: (drained) => {
          this.#monitor.drained(drained);
          this.#monitor.heartbeat();
        },
        onRtt: (rttMs) => this.#monitor.rtt(rttMs),
        onAgreed: (kinds) => {
          agreedMs ??= clock.nowMs();
          this.#penalty.agreed();
          this.#imports.publishDigest(kinds);
        },
        onChange: () => {
          this.#monitor.changed();
          this.#touchStatus();
        },
        onRefused: (kind, name, error) => {
          metrics.refused(this.name, kind, name, error);
          this.#log.warn("refused", { kind, name: peerText(name, 130), reason: error });
        },
        onRefusedByPeer: (kind) => metrics.resync(this.name, kind),
      },
    });
    this.#session = session;
    const end = await session.done;
    if (this.#session === session) this.#session = undefined;
    metrics.streamEnded(this.name, end);
    this.#penalty.ended(end, session.greeted, agreedMs, clock.nowMs());
    this.#refused = session.refusals;
    await this.#onEnd(end, session.greeted);
    return { ...end, greeted: session.greeted };
  }

  async #onEnd(end: SessionEnd, greeted: boolean): Promise<void> {
    this.#reason = endText(end);
    if (end.by === "peer" && end.reason === "replaced") this.#deps.onReplaced?.();
    if (end.by === "peer" && end.reason === "unlinked" && greeted) {
      // Its stream proved to be its own.
      this.#log.info("unlinked by peer");
      this.#reason = "the peer has unlinked this cluster";
      await this.#removal.ask(this.#abort.signal);
    }
    const { clock, unlinkGraceMs = UNLINK_GRACE_MS } = this.#deps;
    this.#refusal.ended(end, greeted, this.#reason, clock.nowMs());
    if (end.error?.code === "UNLINKED") {
      const minutes = Math.ceil(unlinkGraceMs / 60_000);
      this.#reason += ` Its mirrors here go once it has said so for ${minutes} min; link again to keep them.`;
    }
    if (this.#refusal.unlinkedFor(unlinkGraceMs, clock.nowMs())) {
      this.#log.info("unlinked by peer while away");
      await this.#removal.ask(this.#abort.signal);
    }
    this.#monitor.changed();
    this.#wake();
    this.#deps.onStreamEnd?.();
  }

  #situation(): LinkSituation {
    return {
      generation: this.#link.generation,
      joined: this.#record.joined !== undefined,
      hasToken: this.#record.token !== undefined,
      joinFailure: this.#joiner.failure,
      cut: this.#penalty.code,
      refusedByPeer: this.#refusal.known(this.#deps.clock.nowMs()),
      connected: this.#session?.greeted ?? false,
      wasConnected: this.#wasConnected,
      state: this.#monitor.state,
      services: this.#session?.services ?? this.#link.services,
      acknowledgedBundle: this.#acknowledgedBundle,
    };
  }

  get #acknowledgedBundle(): bigint | undefined {
    const { own, state } = this.#deps;
    const bundle = [...state.bundles()].find(({ trustDomain }) => trustDomain === own.trustDomain);
    const stored = bundle !== undefined && (this.#session?.confirmed("KIND_BUNDLES", bundle.trustDomain) ?? false);
    return stored ? bundle.sequence : undefined;
  }

  #onLocalChange({ services, bundle, gateways }: LocalChange): void {
    const session = this.#session;
    if (session === undefined) return;
    if (services === "all" || services.size > 0) {
      session.touch("KIND_SERVICES", services);
      session.touch("KIND_ENDPOINTS", services);
    }
    if (bundle) session.touch("KIND_BUNDLES", "all");
    if (gateways) session.touch("KIND_GATEWAYS", "all");
  }
}

/** Where among a peer's gateways `cluster` begins, so that not all clusters begin at the same. */
function startOf(cluster: string): number {
  return createHash("sha256").update(cluster).digest().readUInt16BE();
}
