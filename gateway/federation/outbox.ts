import { createHash } from "node:crypto";
import { errorText } from "../../core/errors.ts";
import type { Ack__Output } from "../../protos/gen/causeway/federation/v1/Ack.ts";
import type { KindDigest } from "../../protos/gen/causeway/federation/v1/KindDigest.ts";
import type { Resource__Output } from "../../protos/gen/causeway/federation/v1/Resource.ts";
import type { Update } from "../../protos/gen/causeway/federation/v1/Update.ts";
import { LIMITS } from "./limits.ts";
import { type PeerNames, readResource, type SyncKind } from "./wire.ts";

/** What there is to send of one kind. */
export interface OutboxSource {
  /** False: nothing is known for certain; nothing is sent and nothing taken back. */
  readonly ready: boolean;
  names(): Iterable<string>;
  resource(name: string): Resource__Output | undefined;
}

interface Sent {
  readonly names: ReadonlyMap<string, string>;
  readonly final: boolean;
  readonly atMs: number;
}

/**
 * The sending side of one kind: a snapshot, then what changed. Names that changed are kept, not changes: however
 * fast state moves, what waits is bounded by what there is. Knows no stream: `next` is asked, `acked` is told.
 */
export class Outbox {
  readonly kind: SyncKind;
  readonly #source: OutboxSource;
  readonly #own: PeerNames;
  /** Fingerprints of what the peer holds, once it has answered what is in flight. */
  #sent = new Map<string, string>();
  /** Fingerprints of what it refused. */
  readonly #refused = new Map<string, string>();
  readonly #dirty = new Set<string>();
  readonly #inFlight = new Map<string, Sent>();
  #snapshot: { names: string[]; next: number } | undefined;
  #needSnapshot = true;
  #snapshotAcked = false;
  #revision = 0n;
  #nonce = 0;

  readonly #nowMs: () => number;
  #unknown = false;

  constructor(kind: SyncKind, source: OutboxSource, own: PeerNames, nowMs: () => number) {
    this.kind = kind;
    this.#nowMs = nowMs;
    this.#source = source;
    this.#own = own;
  }

  /** `name` may have changed. */
  touch(name: string): void {
    this.#dirty.add(name);
  }

  /** Anything may have changed. */
  touchAll(): void {
    for (const name of this.#source.names()) this.#dirty.add(name);
    for (const name of this.#sent.keys()) this.#dirty.add(name);
    for (const name of this.#refused.keys()) this.#dirty.add(name);
  }

  /** Offers again what was refused. */
  retryRefused(): void {
    for (const name of this.#refused.keys()) this.#dirty.add(name);
    this.#refused.clear();
  }

  /** The next update is the first of a snapshot. */
  restart(): void {
    this.#needSnapshot = true;
    this.#snapshot = undefined;
    this.#snapshotAcked = false;
  }

  /** There is something to say: where not, nothing is sent and nothing compared. */
  get ready(): boolean {
    return this.#source.ready && !this.#unknown;
  }

  /** The peer is of an earlier version and does not know this kind: it hears no more of it. */
  mute(): void {
    this.#unknown = true;
    this.#inFlight.clear();
  }

  /** When the update was sent that waits longest for its answer; undefined: none does. */
  get waitingSinceMs(): number | undefined {
    const [oldest] = this.#inFlight.values();
    return oldest?.atMs;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** A first snapshot was sent and answered: digests may be compared. */
  get established(): boolean {
    return this.#snapshotAcked && !this.#needSnapshot && this.#snapshot === undefined;
  }

  /** The next update to send, if there is any. */
  next(): Update | undefined {
    if (!this.ready) return undefined;
    if (this.#needSnapshot) {
      this.#needSnapshot = false;
      this.#snapshot = { names: [...this.#source.names()], next: 0 };
      this.#sent = new Map();
      this.#refused.clear();
      this.#dirty.clear();
      this.#revision += 1n;
    }
    return this.#snapshot === undefined ? this.#delta() : this.#part(this.#snapshot);
  }

  #part(snapshot: { names: string[]; next: number }): Update {
    const upserts: Resource__Output[] = [];
    const names = new Map<string, string>();
    let bytes = 0;
    const full = () => bytes >= LIMITS.updateBytes || upserts.length >= LIMITS.updateNamesSent;
    while (snapshot.next < snapshot.names.length && !full()) {
      const name = snapshot.names[snapshot.next++] ?? "";
      const item = this.#item(name);
      if (item === undefined) continue;
      upserts.push(item.resource);
      names.set(name, item.fingerprint);
      this.#sent.set(name, item.fingerprint);
      bytes += item.bytes;
    }
    const more = snapshot.next < snapshot.names.length;
    if (!more) this.#snapshot = undefined;
    return this.#update({ snapshot: true, more, upserts, removes: [] }, { names, final: !more, atMs: this.#nowMs() });
  }

  #delta(): Update | undefined {
    const upserts: Resource__Output[] = [];
    const removes: string[] = [];
    const names = new Map<string, string>();
    let bytes = 0;
    for (const name of this.#dirty) {
      if (bytes >= LIMITS.updateBytes || upserts.length + removes.length >= LIMITS.updateNamesSent) break;
      this.#dirty.delete(name);
      const item = this.#item(name);
      if (item === undefined) {
        if (!this.#sent.delete(name) && !this.#refused.delete(name)) continue;
        this.#refused.delete(name);
        removes.push(name);
        bytes += name.length;
      } else {
        if (this.#sent.get(name) === item.fingerprint || this.#refused.get(name) === item.fingerprint) continue;
        this.#refused.delete(name);
        this.#sent.set(name, item.fingerprint);
        names.set(name, item.fingerprint);
        upserts.push(item.resource);
        bytes += item.bytes;
      }
    }
    if (upserts.length + removes.length === 0) return undefined;
    this.#revision += 1n;
    return this.#update(
      { snapshot: false, more: false, upserts, removes },
      { names, final: false, atMs: this.#nowMs() },
    );
  }

  /** What we would refuse ourselves is not sent: both sides read a value the same way. */
  #item(name: string): { resource: Resource__Output; fingerprint: string; bytes: number } | undefined {
    const resource = this.#source.resource(name);
    if (resource === undefined) return undefined;
    try {
      const { fingerprint, value } = readResource(this.kind, resource, this.#own);
      return { resource, fingerprint, bytes: value.length };
    } catch (error) {
      this.onUnsendable(name, errorText(error));
      return undefined;
    }
  }

  /** Told of resources that cannot be sent at all. */
  onUnsendable: (name: string, reason: string) => void = () => {};

  #update(body: Pick<Update, "snapshot" | "more" | "upserts" | "removes">, sent: Sent): Update {
    const nonce = `${this.kind.slice(5, 6)}${++this.#nonce}`;
    this.#inFlight.set(nonce, sent);
    return { kind: this.kind, revision: this.#revision.toString(), nonce, ...body };
  }

  /** The peer answered. "unknown": to nothing we sent; "refused": the whole update, so a snapshot is due. */
  acked(ack: Ack__Output): "accepted" | "refused" | "unknown" {
    const sent = this.#inFlight.get(ack.nonce);
    if (sent === undefined) return "unknown";
    this.#inFlight.delete(ack.nonce);
    if (ack.error !== "") {
      this.restart();
      return "refused";
    }
    for (const { name } of ack.refused) {
      const fingerprint = sent.names.get(name);
      if (fingerprint === undefined || this.#sent.get(name) !== fingerprint) continue;
      this.#sent.delete(name);
      this.#refused.set(name, fingerprint);
    }
    if (sent.final && !this.#needSnapshot && this.#snapshot === undefined) this.#snapshotAcked = true;
    return "accepted";
  }

  /** The peer has stored `name` as it is now. */
  confirmed(name: string): boolean {
    if (!this.#snapshotAcked || this.#dirty.has(name)) return false;
    for (const { names } of this.#inFlight.values()) if (names.has(name)) return false;
    const item = this.#item(name);
    return item !== undefined && this.#sent.get(name) === item.fingerprint;
  }

  digest(): KindDigest {
    const { sha256, count } = digestOf(this.#sent);
    return { kind: this.kind, revision: this.#revision.toString(), sha256, count };
  }
}

/** The digest of names and the fingerprints of their values. */
export function digestOf(held: ReadonlyMap<string, string>): { sha256: Buffer; count: number } {
  const hash = createHash("sha256");
  for (const name of [...held.keys()].sort())
    hash
      .update(name)
      .update("\0")
      .update(held.get(name) ?? "")
      .update("\n");
  return { sha256: hash.digest(), count: held.size };
}
