import { type Clock, every } from "../../core/clock.ts";
import { PROTOCOL } from "../../core/defaults.ts";
import { asMeshError, errorText, MeshError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Ack__Output } from "../../protos/gen/causeway/federation/v1/Ack.ts";
import type { Digest__Output } from "../../protos/gen/causeway/federation/v1/Digest.ts";
import type { Hello__Output } from "../../protos/gen/causeway/federation/v1/Hello.ts";
import type { KindDigest__Output } from "../../protos/gen/causeway/federation/v1/KindDigest.ts";
import type { SyncMessage__Output } from "../../protos/gen/causeway/federation/v1/SyncMessage.ts";
import type { Update__Output } from "../../protos/gen/causeway/federation/v1/Update.ts";
import { HeartbeatMeter } from "./heartbeat-meter.ts";
import { Inbox, type InboxSink } from "./inbox.ts";
import { LIMITS, SYNC } from "./limits.ts";
import { Outbox, type OutboxSource } from "./outbox.ts";
import { PeerConduct } from "./peer-conduct.ts";
import { peerText } from "./peer-text.ts";
import type { Incoming } from "./sync-codec.ts";
import type { SyncPipe } from "./sync-pipe.ts";
import { type PeerNames, SYNC_KINDS, type SyncKind } from "./wire.ts";

/** How a NACK begins of a kind that only its sender knows. */
const UNKNOWN_KIND = "PROTOCOL_VERSION:";
const MAX_DIGEST_KINDS = 16;

/** How a session ended: who said so, and why ("unlinked", "draining", "replaced", an error code, or "lost"). */
export interface SessionEnd {
  readonly by: "peer" | "us" | "transport";
  readonly reason: string;
  readonly error?: MeshError;
}

/** What the session tells its link. Called synchronously. */
export interface SessionObserver {
  /** Before anything is sent for it. */
  onHello(hello: Hello__Output): void;
  /** `drained`: share of its traffic that the peer says is to go elsewhere. Not checked. */
  onHeartbeat(drained: number): void;
  onRtt(rttMs: number): void;
  /** Digests, counts or refusals changed. */
  onChange(): void;
  /** What we hold is what the peer says that it sent. */
  onAgreed(kinds: readonly KindDigest__Output[]): void;
  /** We refused a resource of the peer's, or with an empty name a whole update. */
  onRefused(kind: SyncKind, name: string, error: string): void;
  /** The peer refused an update of ours, or did not agree with a digest. */
  onRefusedByPeer(kind: string): void;
}

export interface SessionOptions {
  readonly own: PeerNames;
  readonly peer: PeerNames;
  readonly epoch: bigint;
  readonly wantsImport: boolean;
  readonly offersExport: boolean;
  readonly sources: Readonly<Record<SyncKind, OutboxSource>>;
  readonly sink: InboxSink;
  readonly observer: SessionObserver;
  readonly heartbeatMs: number;
  /** Share of our traffic that is to go elsewhere; goes with each heartbeat. */
  readonly drained?: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

type Work = { readonly update: Update__Output; readonly bytes: number } | { readonly digest: Digest__Output };

/**
 * One Sync stream as a state machine, the same on both ends: Hello, snapshots, deltas, digests, heartbeats,
 * Goodbye. Heartbeats are answered at once; updates are applied one after the other and answered when stored.
 */
export class SyncSession {
  readonly done: Promise<SessionEnd>;
  readonly #options: SessionOptions;
  readonly #pipe: SyncPipe;
  readonly #outboxes: ReadonlyMap<string, Outbox>;
  readonly #inboxes: ReadonlyMap<string, Inbox>;
  readonly #heartbeats: HeartbeatMeter;
  readonly #work: Work[] = [];
  readonly #blocked = new Set<SyncKind>();
  readonly #timers: (() => void)[] = [];
  #resolve: (end: SessionEnd) => void = () => {};
  #ended: SessionEnd | undefined;
  #closed = false;
  #greeted = false;
  #working = false;
  #pumpScheduled = false;
  #digestDue = true;
  #digestNonce = "";
  #digests = 0;
  readonly #conduct: PeerConduct;
  /** By kind, how often it was sent anew of late, and what ends the wait before the next time. */
  readonly #resyncs = new Map<SyncKind, { count: number; atMs: number; cancel: () => void }>();
  #backlogSinceMs: number | undefined;
  #ackedMs: number | undefined;
  #matchedMs: number | undefined;
  #lastMessageMs: number;

  constructor(pipe: SyncPipe, options: SessionOptions) {
    this.#pipe = pipe;
    this.#options = options;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const { clock, own, peer, sink, observer } = options;
    this.#heartbeats = new HeartbeatMeter(clock);
    this.#conduct = new PeerConduct(peer.cluster, clock);
    this.#lastMessageMs = clock.nowMs();
    this.#outboxes = new Map(SYNC_KINDS.map((kind) => [kind, this.#outbox(kind, own)]));
    const refused = (kind: SyncKind) => (name: string, error: string) => observer.onRefused(kind, name, error);
    const nowMs = () => clock.nowMs();
    this.#inboxes = new Map(SYNC_KINDS.map((kind) => [kind, new Inbox(kind, peer, sink, nowMs, refused(kind))]));
    pipe.use({
      onMessage: (incoming) => this.#guard(() => this.#onMessage(incoming)),
      onClose: (error) => this.#onClose(error),
    });
    this.#send({
      hello: {
        protocol: PROTOCOL.federation,
        cluster: own.cluster,
        epoch: options.epoch.toString(),
        wantsImport: options.wantsImport,
        offersExport: options.offersExport,
      },
    });
    const late = () =>
      this.fail(new MeshError("PROTOCOL_VIOLATION", `Cannot sync with ${peer.cluster}: it sent no Hello.`));
    this.#timers.push(clock.after(SYNC.helloTimeoutMs, () => !this.#greeted && late()));
  }

  #outbox(kind: SyncKind, own: PeerNames): Outbox {
    const outbox = new Outbox(kind, this.#options.sources[kind], own, () => this.#options.clock.nowMs());
    outbox.onUnsendable = (name, reason) => this.#options.log.warn("export not sent", { kind, name, reason });
    return outbox;
  }

  /** `names` of `kind` may have changed; "all": anything may. */
  touch(kind: SyncKind, names: Iterable<string> | "all"): void {
    const outbox = this.#outboxes.get(kind);
    if (names === "all") outbox?.touchAll();
    else for (const name of names) outbox?.touch(name);
    this.#schedulePump();
  }

  /** The peer said Hello. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /** Both sides hold the same, as lately confirmed in both directions. */
  get agreed(): boolean {
    const since = this.#options.clock.nowMs() - SYNC.digestFreshMs;
    return (this.#ackedMs ?? -Infinity) > since && (this.#matchedMs ?? -Infinity) > since;
  }

  /** Why it is not agreed, for people. */
  get doubt(): string {
    if (!this.#greeted) return "waiting for the peer's Hello";
    const since = this.#options.clock.nowMs() - SYNC.digestFreshMs;
    if ((this.#ackedMs ?? -Infinity) <= since) return "the peer has not confirmed our state";
    return (this.#matchedMs ?? -Infinity) <= since ? "the peer's state has not been confirmed" : "";
  }

  /** What of the peer's is refused at present, for people. */
  get refusals(): readonly string[] {
    return [...this.#inboxes.values()].flatMap((inbox) => inbox.refusals);
  }

  /** Services that the peer exports to us. */
  get services(): number {
    return this.#inboxes.get("KIND_SERVICES")?.count ?? 0;
  }

  /** The peer has stored `name` of `kind` as it is now. */
  confirmed(kind: SyncKind, name: string): boolean {
    return this.#outboxes.get(kind)?.confirmed(name) ?? false;
  }

  /** Says goodbye and closes; resolves when the stream is gone. */
  async goodbye(reason: string): Promise<void> {
    this.#send({ goodbye: { reason } });
    this.#finish({ by: "us", reason });
    await this.done;
  }

  /** Ends the stream for a fault, told to the peer by its code. */
  fail(error: MeshError): void {
    this.#send({ goodbye: { reason: error.code } });
    this.#finish({ by: "us", reason: error.code, error });
  }

  #send(message: Parameters<SyncPipe["send"]>[0]): void {
    if (this.#ended === undefined && !this.#closed) this.#pipe.send(message);
  }

  #finish(end: SessionEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = end;
    for (const cancel of this.#timers) cancel();
    for (const { cancel } of this.#resyncs.values()) cancel();
    this.#pipe.end();
    if (this.#closed) this.#resolve(end);
    else this.#options.clock.after(1_000, () => this.#pipe.destroy());
  }

  #onClose(error: MeshError | undefined): void {
    this.#closed = true;
    const lost =
      error ?? new MeshError("STREAM_CLOSED", `Cannot sync with ${this.#options.peer.cluster}: the stream ended.`);
    if (this.#ended === undefined) this.#finish({ by: "transport", reason: "lost", error: lost });
    else this.#resolve(this.#ended);
  }

  /** Whatever a message makes go wrong ends this stream and nothing else. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.fail(asMeshError(error, "INTERNAL", "handle a message of the peer"));
    }
  }

  /** It may be no fault of the peer's: its registry may be away, or the network. */
  #lost(what: string): MeshError {
    return new MeshError("STREAM_CLOSED", `Cannot sync with ${this.#options.peer.cluster}: ${what}.`);
  }

  #violation(what: string): MeshError {
    return new MeshError("PROTOCOL_VIOLATION", `Cannot sync with ${this.#options.peer.cluster}: ${what}.`);
  }

  #onMessage({ bytes, body }: Incoming): void {
    if (this.#ended !== undefined) return;
    this.#lastMessageMs = this.#options.clock.nowMs();
    if (body instanceof MeshError) throw body;
    this.#conduct.message(bytes, Boolean(body.update));
    this.#onBody(body, bytes);
  }

  #onBody(message: SyncMessage__Output, bytes: number): void {
    if (message.hello) this.#onHello(message.hello);
    else if (message.goodbye) this.#finish({ by: "peer", reason: peerText(message.goodbye.reason, 100) });
    else if (!this.#greeted) throw this.#violation("it did not begin with Hello");
    else if (message.heartbeat) this.#onHeartbeat(message.heartbeat);
    else if (message.update) this.#enqueue({ update: message.update, bytes });
    else if (message.digest) {
      if (this.#conduct.digestDue()) this.#enqueue({ digest: message.digest });
    } else if (message.ack) this.#onAck(message.ack);
    // A body that this build does not know: a later protocol's, and harmless.
  }

  #onHello(hello: Hello__Output): void {
    const { peer, clock, heartbeatMs } = this.#options;
    if (this.#greeted) throw this.#violation("it said Hello twice");
    if (hello.protocol !== PROTOCOL.federation) {
      throw new MeshError(
        "PROTOCOL_VERSION",
        `Cannot sync with ${peer.cluster}: it speaks protocol ${hello.protocol}, we ${PROTOCOL.federation}. Upgrade the older side.`,
      );
    }
    if (hello.cluster !== peer.cluster) {
      throw new MeshError(
        "IDENTITY_UNEXPECTED",
        `Cannot sync with ${peer.cluster}: it calls itself "${peerText(hello.cluster, 63)}". Link it under that name.`,
      );
    }
    this.#greeted = true;
    this.#options.observer.onHello(hello);
    this.#timers.push(
      every(clock, heartbeatMs, () => this.#beat()),
      every(clock, SYNC.digestMs, () => {
        this.#digestDue = true;
        this.#schedulePump();
      }),
      every(clock, SYNC.retryRefusedMs, () => {
        for (const outbox of this.#outboxes.values()) outbox.retryRefused();
        this.#schedulePump();
      }),
    );
    this.#beat();
    this.#options.observer.onChange();
    this.#pump();
  }

  #beat(): void {
    if (this.#reads())
      this.#send({ heartbeat: { ...this.#heartbeats.next(), drained: this.#options.drained?.() ?? 0 } });
    const nowMs = this.#options.clock.nowMs();
    const over = (sinceMs: number | undefined, ms: number) => sinceMs !== undefined && nowMs - sinceMs > ms;
    for (const outbox of this.#outboxes.values())
      if (over(outbox.waitingSinceMs, SYNC.ackTimeoutMs)) this.fail(this.#lost("it does not answer updates"));
    if (over(this.#backlogSinceMs, SYNC.silenceMs)) this.fail(this.#violation("it does not read what it is sent"));
    // While an update waits for the registry, nobody else is to blame for the time that passes.
    for (const inbox of this.#inboxes.values())
      if (!this.#working && over(inbox.stagingSinceMs, LIMITS.snapshotMs))
        this.fail(this.#violation("its snapshot does not end"));
    if (over(this.#lastMessageMs, SYNC.silenceMs)) {
      this.fail(this.#lost("nothing comes from it"));
    }
  }

  /** Whether what is sent leaves: where not, heartbeats only add to what waits. */
  #reads(): boolean {
    if (this.#pipe.backlog < LIMITS.backlog) this.#backlogSinceMs = undefined;
    else this.#backlogSinceMs ??= this.#options.clock.nowMs();
    return this.#backlogSinceMs === undefined;
  }

  #onHeartbeat(heartbeat: NonNullable<SyncMessage__Output["heartbeat"]>): void {
    const rttMs = this.#heartbeats.reply(heartbeat.replyToMs);
    if (rttMs !== undefined) this.#options.observer.onRtt(rttMs);
    if (heartbeat.sequence === "0") return;
    this.#options.observer.onHeartbeat(heartbeat.drained);
    if (this.#reads()) this.#send({ heartbeat: { sequence: 0, sentAtMs: 0, replyToMs: heartbeat.sentAtMs } });
  }

  #enqueue(work: Work): void {
    if ("digest" in work) {
      // Only the latest counts; while the registry is away they would pile up behind an update that waits for it.
      const earlier = this.#work.findIndex((waiting) => "digest" in waiting);
      if (earlier !== -1) this.#work.splice(earlier, 1);
    }
    // A peer that keeps to its window never has more than this waiting.
    if (this.#work.length > LIMITS.window + 2) throw this.#violation("it sends updates without waiting for answers");
    this.#work.push(work);
    if (!this.#working) {
      this.#working = true;
      void this.#workOff();
    }
  }

  async #workOff(): Promise<void> {
    try {
      for (let work = this.#work.shift(); work !== undefined && this.#ended === undefined; work = this.#work.shift()) {
        if ("update" in work) await this.#apply(work.update, work.bytes);
        else this.#compare(work.digest);
      }
    } catch (error) {
      this.fail(asMeshError(error, "INTERNAL", `apply an update of ${this.#options.peer.cluster}`));
    } finally {
      this.#working = false;
    }
  }

  async #apply(update: Update__Output, bytes: number): Promise<void> {
    const { observer, clock } = this.#options;
    const { kind, nonce, revision } = update;
    if (nonce.length > 64) throw this.#violation("its nonce is too long");
    if (kind === "KIND_UNSPECIFIED") throw this.#violation("it sent an update of no kind");
    const waitMs = this.#conduct.updateWaitMs(kind, bytes);
    if (waitMs > 0) await new Promise<void>((resolve) => clock.after(waitMs, resolve));
    const inbox = this.#inboxes.get(kind);
    if (inbox === undefined) {
      // Of a later version: it hears that, and goes on with the kinds that both know.
      this.#send({
        ack: { kind, nonce, revision, error: `${UNKNOWN_KIND} ${this.#options.own.cluster} does not know it` },
      });
      return;
    }
    const ack = await inbox.receive(update);
    if (ack.error) observer.onRefused(inbox.kind, "", ack.error);
    this.#send({ ack });
    this.#conduct.answered(Boolean(ack.error));
    observer.onChange();
  }

  #compare(digest: Digest__Output): void {
    if (digest.kinds.length > MAX_DIGEST_KINDS) throw this.#violation("its digest is of too many kinds");
    // Each once, and of kinds that only it knows nothing can be said.
    const kinds = [...new Map(digest.kinds.map((kind) => [kind.kind, kind])).values()];
    const wrong = kinds.filter((kind) => this.#inboxes.get(kind.kind)?.matches(kind) === false);
    if (wrong.length === 0) {
      this.#matchedMs = this.#options.clock.nowMs();
      this.#options.observer.onAgreed(kinds);
    } else {
      this.#matchedMs = undefined;
    }
    const nonce = digest.nonce.slice(0, 64);
    if (wrong.length === 0) this.#send({ ack: { nonce, error: "" } });
    for (const { kind } of wrong.slice(0, SYNC_KINDS.length)) {
      this.#options.log.warn("digest mismatch", { kind });
      this.#send({
        ack: { kind, nonce, error: `DIGEST_MISMATCH: what ${this.#options.own.cluster} holds of ${kind} differs` },
      });
    }
    this.#options.observer.onChange();
  }

  #onAck(ack: Ack__Output): void {
    const { clock, log, observer } = this.#options;
    if (ack.nonce !== "" && ack.nonce === this.#digestNonce) {
      if (ack.kind === "KIND_UNSPECIFIED" && ack.error === "") {
        this.#ackedMs = clock.nowMs();
        // Answered: what it says of it later is not about what it held.
        this.#digestNonce = "";
      } else {
        this.#ackedMs = undefined;
        this.#resync(ack.kind, ack.error);
      }
      observer.onChange();
      return;
    }
    const outbox = this.#outboxes.get(ack.kind);
    const verdict = outbox?.acked(ack) ?? "unknown";
    if (verdict === "unknown") this.#conduct.strayAnswer();
    if (verdict === "refused" && ack.error.startsWith(UNKNOWN_KIND)) {
      log.info("kind unknown to peer", { kind: ack.kind });
      outbox?.mute();
    } else if (verdict === "refused") this.#resync(ack.kind, ack.error);
    for (const { name, error } of ack.refused.slice(0, LIMITS.refusals)) {
      log.warn("peer refused export", {
        kind: ack.kind,
        name: name.slice(0, 130),
        error: error.slice(0, 300),
      });
    }
    if (ack.kind === "KIND_BUNDLES") observer.onChange();
    this.#schedulePump();
  }

  /** The peer refused our state of `kind`: send it whole, each time after a longer wait, forgiven by a minute of peace. */
  #resync(kind: string, error: string): void {
    const { clock, log, observer } = this.#options;
    const outbox = this.#outboxes.get(kind);
    if (outbox === undefined) return;
    observer.onRefusedByPeer(kind);
    log.warn("resync", { kind, error: error.slice(0, 300) });
    outbox.restart();
    this.#digestDue = true;
    if (this.#blocked.has(outbox.kind)) return;
    const nowMs = clock.nowMs();
    const before = this.#resyncs.get(outbox.kind);
    const count = before === undefined || nowMs - before.atMs > SYNC.forgiveMs ? 0 : before.count;
    const waitMs = count === 0 ? 0 : Math.min(30_000, 500 * 2 ** Math.min(count, 10));
    this.#blocked.add(outbox.kind);
    const cancel = clock.after(waitMs, () => {
      this.#blocked.delete(outbox.kind);
      this.#schedulePump();
    });
    this.#resyncs.set(outbox.kind, { count: count + 1, atMs: nowMs, cancel });
  }

  #schedulePump(): void {
    if (this.#pumpScheduled || this.#ended !== undefined) return;
    this.#pumpScheduled = true;
    this.#options.clock.after(SYNC.gatherMs, () => {
      this.#pumpScheduled = false;
      this.#guard(() => this.#pump());
    });
  }

  /** Sends what the window lets through, bundles first; a digest that is due waits for all answers. */
  #pump(): void {
    if (!this.#greeted || this.#ended !== undefined) return;
    let inFlight = 0;
    for (const outbox of this.#outboxes.values()) inFlight += outbox.inFlight;
    const ready = [...this.#outboxes.values()].filter((outbox) => outbox.ready);
    if (this.#digestDue && ready.length > 0 && ready.every((outbox) => outbox.established)) {
      if (inFlight > 0) return;
      this.#digestDue = false;
      this.#digestNonce = `D${++this.#digests}`;
      this.#send({ digest: { nonce: this.#digestNonce, kinds: ready.map((outbox) => outbox.digest()) } });
    }
    for (const outbox of ready) {
      while (inFlight < LIMITS.window && !this.#blocked.has(outbox.kind)) {
        const update = outbox.next();
        if (update === undefined) break;
        inFlight++;
        this.#send({ update });
      }
    }
  }
}

/** A reason that came in a Goodbye, as a sentence for people. */
export function endText(end: SessionEnd): string {
  if (end.error !== undefined) return `${end.error.code}: ${errorText(end.error)}`;
  return end.by === "peer" ? `the peer said goodbye: ${end.reason}` : end.reason;
}
