import type { Clock } from "../../core/clock.ts";
import { defaultTrustDomain } from "../../core/identity.ts";
import { silentLog } from "../../core/log.ts";
import type { InboxSink } from "../../gateway/federation/inbox.ts";
import type { OutboxSource } from "../../gateway/federation/outbox.ts";
import type { SyncPipe, SyncPipeUser } from "../../gateway/federation/sync-pipe.ts";
import { type SessionOptions, SyncSession } from "../../gateway/federation/sync-session.ts";
import { type PeerNames, type Received, SYNC_KINDS, type SyncKind } from "../../gateway/federation/wire.ts";
import type { Resource__Output } from "../../protos/gen/causeway/federation/v1/Resource.ts";
import type { SyncMessage, SyncMessage__Output } from "../../protos/gen/causeway/federation/v1/SyncMessage.ts";
import { loadFederation } from "../../protos/load.ts";

const { Sync } = loadFederation().Federation.service;

/** One end of a stream in memory; messages are encoded as on the wire. `tamper` may drop or change what is sent. */
class MemoryPipe implements SyncPipe {
  other: MemoryPipe | undefined;
  tamper: (message: SyncMessage__Output) => SyncMessage__Output | undefined = (message) => message;
  readonly sent: SyncMessage__Output[] = [];
  #user: SyncPipeUser | undefined;
  #waiting: SyncMessage__Output[] = [];
  #closed = false;

  use(user: SyncPipeUser): void {
    this.#user = user;
    for (const message of this.#waiting.splice(0)) user.onMessage({ bytes: 100, body: message });
  }

  send(message: SyncMessage): void {
    if (this.#closed) return;
    const decoded = this.tamper(Sync.requestDeserialize(Sync.requestSerialize(message)));
    if (decoded === undefined) return;
    this.sent.push(decoded);
    setImmediate(() => this.other?.receive(decoded));
  }

  receive(message: SyncMessage__Output): void {
    if (this.#closed) return;
    if (this.#user === undefined) this.#waiting.push(message);
    else this.#user.onMessage({ bytes: 100, body: message });
  }

  backlog = 0;

  end(): void {
    setImmediate(() => {
      this.other?.close();
      this.close();
    });
  }

  destroy(): void {
    this.end();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#user?.onClose(undefined);
  }
}

export function memoryPipes(): [MemoryPipe, MemoryPipe] {
  const [a, b] = [new MemoryPipe(), new MemoryPipe()];
  a.other = b;
  b.other = a;
  return [a, b];
}

/** A side of a link: what it offers, what it was given, and how it is doing. */
export class SyncSide implements InboxSink {
  readonly names: PeerNames;
  readonly offers = new Map<SyncKind, Map<string, Resource__Output>>(SYNC_KINDS.map((kind) => [kind, new Map()]));
  readonly stored = new Map<SyncKind, Map<string, Received>>(SYNC_KINDS.map((kind) => [kind, new Map()]));
  readonly refused: string[] = [];
  ready = true;
  heartbeats = 0;
  rtts: number[] = [];
  /** Awaited before anything is stored. */
  gate: Promise<void> = Promise.resolve();
  admitting: (received: Received) => void = () => {};

  constructor(cluster: string) {
    this.names = { cluster, trustDomain: defaultTrustDomain(cluster) };
  }

  admit(received: Received): void {
    this.admitting(received);
  }

  async apply(
    kind: SyncKind,
    upserts: readonly Received[],
    removes: readonly string[],
    whole?: { keep: ReadonlySet<string> },
  ): Promise<void> {
    await this.gate;
    const stored = this.stored.get(kind) ?? new Map<string, Received>();
    for (const name of whole === undefined ? removes : [...stored.keys()].filter((name) => !whole.keep.has(name))) {
      stored.delete(name);
    }
    for (const received of upserts) stored.set(received.name, received);
  }

  held(kind: SyncKind): string[] {
    return [...(this.stored.get(kind)?.keys() ?? [])].sort();
  }

  offer(kind: SyncKind, resource: Resource__Output): void {
    this.offers.get(kind)?.set(resource.name, resource);
  }

  open(pipe: SyncPipe, peer: SyncSide, clock: Clock, over: Partial<SessionOptions> = {}): SyncSession {
    const source = (kind: SyncKind): OutboxSource => {
      const offers = this.offers.get(kind) ?? new Map<string, Resource__Output>();
      const side = this;
      return {
        get ready() {
          return side.ready;
        },
        names: () => [...offers.keys()],
        resource: (name) => offers.get(name),
      };
    };
    return new SyncSession(pipe, {
      own: this.names,
      peer: peer.names,
      epoch: 1n,
      wantsImport: true,
      offersExport: true,
      sources: {
        KIND_SERVICES: source("KIND_SERVICES"),
        KIND_ENDPOINTS: source("KIND_ENDPOINTS"),
        KIND_BUNDLES: source("KIND_BUNDLES"),
        KIND_GATEWAYS: source("KIND_GATEWAYS"),
      },
      sink: this,
      observer: {
        onHello: () => {},
        onHeartbeat: () => {
          this.heartbeats++;
        },
        onRtt: (rttMs) => this.rtts.push(rttMs),
        onChange: () => {},
        onAgreed: () => {},
        onRefusedByPeer: () => {},
        onRefused: (_kind, name, error) => this.refused.push(`${name} ${error}`),
      },
      heartbeatMs: 200,
      clock,
      log: silentLog,
      ...over,
    });
  }
}
