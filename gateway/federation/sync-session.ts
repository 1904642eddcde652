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
import type { SyncPipe } from "./sync-pipe.ts";
import { type PeerNames, SYNC_KINDS, type SyncKind } from "./wire.ts";

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
  /** We refused a resource of the peer's. */
  onRefused(kind: SyncKind, name: string, error: string): void;
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

type Work = { readonly update: Update__Output } | { readonly digest: Digest__Output };

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
  #nacks = 0;
  #ackedMs: number | undefined;
  #matchedMs: number | undefined;
  #lastAckMs: number;
  #lastMessageMs: number;
  #second = 0;
  #messages = 0;
  #updates = 0;

  constructor(pipe: SyncPipe, options: SessionOptions) {
    this.#pipe = pipe;
    this.#options = options;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const { clock, own, peer, sink, observer } = options;
    this.#heartbeats = new HeartbeatMeter(clock);
    this.#lastAckMs = this.#lastMessageMs = clock.nowMs();
    this.#outboxes = new Map(SYNC_KINDS.map((kind) => [kind, this.#outbox(kind, own)]));
    const refused = (kind: SyncKind) => (name: string, error: string) => observer.onRefused(kind, name, error);
    this.#inboxes = new Map(SYNC_KINDS.map((kind) => [kind, new Inbox(kind, peer, sink, refused(kind))]));
    pipe.use({
      onMessage: (message) => this.#guard(() => this.#onMessage(message)),
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
    const outbox = new Outbox(kind, this.#options.sources[kind], own);
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

  /** Services that the peer exports to us. */
  get services(): number {
    return this.#inboxes.get("KIND_SERVICES")?.count ?? 0;
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

  #violation(what: string): MeshError {
    return new MeshError("PROTOCOL_VIOLATION", `Cannot sync with ${this.#options.peer.cluster}: ${what}.`);
  }

  #onMessage(message: SyncMessage__Output): void {
    if (this.#ended !== undefined) return;
    this.#countMessage();
    if (message.hello) this.#onHello(message.hello);
    else if (message.goodbye) this.#finish({ by: "peer", reason: message.goodbye.reason.slice(0, 100) });
    else if (!this.#greeted) throw this.#violation("it did not begin with Hello");
    else if (message.heartbeat) this.#onHeartbeat(message.heartbeat);
    else if (message.update) this.#enqueue({ update: message.update });
    else if (message.digest) this.#enqueue({ digest: message.digest });
    else if (message.ack) this.#onAck(message.ack);
    // A body that this build does not know: a later protocol's, and harmless.
  }

  #countMessage(): void {
    this.#lastMessageMs = this.#options.clock.nowMs();
    const second = Math.floor(this.#lastMessageMs / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#messages = 0;
      this.#updates = 0;
    }
    if (++this.#messages > LIMITS.messagesPerSecond) {
      throw new MeshError(
        "LIMIT_EXCEEDED",
        `Cannot sync with ${this.#options.peer.cluster}: it sends too many messages.`,
      );
    }
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
        `Cannot sync with ${peer.cluster}: it calls itself "${hello.cluster.slice(0, 63)}". Link it under that name.`,
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
    this.#send({ heartbeat: { ...this.#heartbeats.next(), drained: this.#options.drained?.() ?? 0 } });
    const waiting = [...this.#outboxes.values()].some((outbox) => outbox.inFlight > 0);
    if (!waiting) this.#lastAckMs = this.#options.clock.nowMs();
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#lastAckMs > SYNC.ackTimeoutMs) this.fail(this.#violation("it does not answer updates"));
    if (nowMs - this.#lastMessageMs > SYNC.silenceMs) {
      this.fail(
        new MeshError("STREAM_CLOSED", `Cannot sync with ${this.#options.peer.cluster}: nothing comes from it.`),
      );
    }
  }

  #onHeartbeat(heartbeat: NonNullable<SyncMessage__Output["heartbeat"]>): void {
    const rttMs = this.#heartbeats.reply(heartbeat.replyToMs);
    if (rttMs !== undefined) this.#options.observer.onRtt(rttMs);
    if (heartbeat.sequence === "0") return;
    this.#options.observer.onHeartbeat(heartbeat.drained);
    this.#send({ heartbeat: { sequence: 0, sentAtMs: 0, replyToMs: heartbeat.sentAtMs } });
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
        if ("update" in work) await this.#apply(work.update);
        else this.#compare(work.digest);
      }
    } catch (error) {
      this.fail(asMeshError(error, "INTERNAL", `apply an update of ${this.#options.peer.cluster}`));
    } finally {
      this.#working = false;
    }
  }

  async #apply(update: Update__Output): Promise<void> {
    const inbox = this.#inboxes.get(update.kind);
    if (inbox === undefined) throw this.#violation("it sent an update of no known kind");
    if (update.nonce.length > 64) throw this.#violation("its nonce is too long");
    if (++this.#updates > LIMITS.updatesPerSecond) await this.#nextSecond();
    const ack = await inbox.receive(update);
    if (ack.error) this.#options.observer.onRefused(inbox.kind, "", ack.error);
    this.#send({ ack });
    this.#options.observer.onChange();
  }

  #nextSecond(): Promise<void> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      clock.after(1_000 - (clock.nowMs() % 1_000), () => {
        this.#updates = 1;
        resolve();
      });
    });
  }

  #compare(digest: Digest__Output): void {
    const wrong = digest.kinds.filter((kind) => !(this.#inboxes.get(kind.kind)?.matches(kind) ?? false));
    if (wrong.length === 0) {
      this.#matchedMs = this.#options.clock.nowMs();
      this.#options.observer.onAgreed(digest.kinds);
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
    this.#lastAckMs = clock.nowMs();
    if (ack.nonce !== "" && ack.nonce === this.#digestNonce) {
      if (ack.kind === "KIND_UNSPECIFIED" && ack.error === "") {
        this.#ackedMs = clock.nowMs();
        this.#nacks = 0;
      } else {
        this.#ackedMs = undefined;
        this.#resync(ack.kind, ack.error);
      }
      observer.onChange();
      return;
    }
    const outbox = this.#outboxes.get(ack.kind);
    const verdict = outbox?.acked(ack) ?? "unknown";
    // A peer that answers what was never sent is at fault, but its answer harms nobody.
    if (verdict === "unknown") log.warn("answer to nothing", { kind: ack.kind });
    if (verdict === "refused") this.#resync(ack.kind, ack.error);
    for (const { name, error } of ack.refused.slice(0, LIMITS.refusals)) {
      log.warn("peer refused export", {
        kind: ack.kind,
        name: name.slice(0, 130),
        error: error.slice(0, 300),
      });
    }
    this.#schedulePump();
  }

  /** The peer refused our state of `kind`: send it whole, each time after a longer wait. */
  #resync(kind: string, error: string): void {
    const { clock, log } = this.#options;
    const outbox = this.#outboxes.get(kind);
    if (outbox === undefined) return;
    log.warn("resync", { kind, error: error.slice(0, 300) });
    outbox.restart();
    this.#digestDue = true;
    if (this.#blocked.has(outbox.kind)) return;
    const waitMs = this.#nacks === 0 ? 0 : Math.min(30_000, 500 * 2 ** Math.min(this.#nacks, 10));
    this.#nacks++;
    this.#blocked.add(outbox.kind);
    this.#timers.push(
      clock.after(waitMs, () => {
        this.#blocked.delete(outbox.kind);
        this.#schedulePump();
      }),
    );
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
