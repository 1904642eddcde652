import { asMeshError, errorText, hasCode, MeshError } from "../../core/errors.ts";
import type { Ack } from "../../protos/gen/causeway/federation/v1/Ack.ts";
import type { KindDigest__Output } from "../../protos/gen/causeway/federation/v1/KindDigest.ts";
import type { Refusal } from "../../protos/gen/causeway/federation/v1/Refusal.ts";
import type { Update__Output } from "../../protos/gen/causeway/federation/v1/Update.ts";
import { LIMITS } from "./limits.ts";
import { digestOf } from "./outbox.ts";
import { peerText } from "./peer-text.ts";
import { type PeerNames, type Received, readResource, type SyncKind } from "./wire.ts";

/** Where what a peer sends goes once it passed the checks. */
export interface InboxSink {
  /** Throws for what must not be taken (a bundle with a lower sequence, say). Asked before `apply`. */
  admit(resource: Received): void;
  /** Stores; returns once stored. With `whole`, what is not among `keep` and was there before goes. */
  apply(
    kind: SyncKind,
    upserts: readonly Received[],
    removes: readonly string[],
    whole?: { keep: ReadonlySet<string> },
  ): Promise<void>;
}

interface Held {
  readonly fingerprint: string;
  readonly endpoints: number;
  readonly bytes: number;
}

interface Sums {
  endpoints: number;
  bytes: number;
}

interface Staging extends Sums {
  readonly revision: bigint;
  readonly sinceMs: number;
  readonly accepted: Map<string, Received>;
  /** Named in the snapshot and refused, with why: what was known of them stays. */
  readonly refused: Map<string, string>;
  parts: number;
}

/** No resource has a longer name: two labels of DNS, or a host with its port. */
const MAX_NAME = 260;
const MAX_ERROR = 200;

function countLimit(kind: SyncKind): number {
  switch (kind) {
    case "KIND_SERVICES":
    case "KIND_ENDPOINTS":
      return LIMITS.services;
    case "KIND_BUNDLES":
      return LIMITS.bundles;
    case "KIND_GATEWAYS":
      return LIMITS.gateways;
    default:
      return kind satisfies never;
  }
}

function heldOf({ fingerprint, endpoints, value }: Received): Held {
  return { fingerprint, endpoints, bytes: value.length };
}

/** The receiving side of one kind. An answer is only given for what is stored. */
export class Inbox {
  readonly kind: SyncKind;
  readonly #peer: PeerNames;
  readonly #sink: InboxSink;
  readonly #onRefused: (name: string, error: string) => void;
  readonly #nowMs: () => number;
  #held: Map<string, Held> | undefined;
  #sums: Sums = { endpoints: 0, bytes: 0 };
  #staging: Staging | undefined;
  #revision = 0n;
  /** Of a snapshot of which a part was refused: the rest of it is worth nothing. */
  #spoiled = -1n;
  /** What of the peer's is refused now, by name; the first of them, for people. */
  #refused = new Map<string, string>();
  #nack = "";

  constructor(
    kind: SyncKind,
    peer: PeerNames,
    sink: InboxSink,
    nowMs: () => number,
    onRefused: (name: string, error: string) => void,
  ) {
    this.kind = kind;
    this.#nowMs = nowMs;
    this.#peer = peer;
    this.#sink = sink;
    this.#onRefused = onRefused;
  }

  get count(): number {
    return this.#held?.size ?? 0;
  }

  /** What of this kind is refused at present: gone once the peer sends what can be taken. */
  get refusals(): readonly string[] {
    const names = [...this.#refused].map(([name, error]) => `${peerText(name, 130)}: ${error}`);
    return this.#nack === "" ? names : [`${this.kind}: ${this.#nack}`, ...names];
  }

  /** When the snapshot began that is under way; undefined: none is. */
  get stagingSinceMs(): number | undefined {
    return this.#staging?.sinceMs;
  }

  /** Applies an update and says what to answer. @throws what the sink throws: nothing was stored then */
  async receive(update: Update__Output): Promise<Ack> {
    const { nonce, revision } = update;
    try {
      if (update.upserts.length + update.removes.length > LIMITS.updateNames)
        throw this.#over("names in an update", LIMITS.updateNames);
      const refused = await (update.snapshot ? this.#snapshot(update) : this.#delta(update));
      this.#nack = "";
      return { kind: this.kind, nonce, revision, error: "", refused };
    } catch (error) {
      if (!hasCode(error, "PROTOCOL_VIOLATION", "LIMIT_EXCEEDED")) throw error;
      this.#staging = undefined;
      const refused = BigInt(revision);
      if (update.snapshot && refused > this.#spoiled) this.#spoiled = refused;
      this.#nack = `${error.code}: ${errorText(error)}`;
      return { kind: this.kind, nonce, revision, error: this.#nack, refused: [] };
    }
  }

  #violation(what: string): MeshError {
    return new MeshError("PROTOCOL_VIOLATION", `Cannot apply the update of ${this.kind}: ${what}.`);
  }

  async #snapshot(update: Update__Output): Promise<Refusal[]> {
    const revision = BigInt(update.revision);
    if (update.removes.length > 0) throw this.#violation("a snapshot removes nothing");
    // One that began anew takes the place of what it did not finish.
    if (this.#staging === undefined || revision > this.#staging.revision) {
      if (revision <= this.#revision) throw this.#violation(`revision ${revision} is not above ${this.#revision}`);
      if (revision <= this.#spoiled) throw this.#violation(`a part of the snapshot of ${revision} was refused`);
      const sinceMs = this.#nowMs();
      this.#staging = { revision, sinceMs, accepted: new Map(), refused: new Map(), endpoints: 0, bytes: 0, parts: 0 };
    }
    const staging = this.#staging;
    if (staging.revision !== revision)
      throw this.#violation(`revision ${revision} within the snapshot of ${staging.revision}`);
    if (++staging.parts > LIMITS.snapshotParts || this.#nowMs() - staging.sinceMs > LIMITS.snapshotMs)
      throw this.#violation("its snapshot does not end");
    const refusals: Refusal[] = [];
    for (const resource of update.upserts) {
      const { name } = resource;
      if (staging.accepted.has(name) || staging.refused.has(name)) throw this.#violation("a name is there twice");
      const taken = this.#read(resource, staging.accepted.size, staging, refusals);
      if (typeof taken === "string") {
        // Only as many as are allowed in all are remembered, whatever is sent.
        if (name.length <= MAX_NAME && staging.refused.size < countLimit(this.kind)) staging.refused.set(name, taken);
      } else {
        staging.accepted.set(name, taken);
        staging.endpoints += taken.endpoints;
        staging.bytes += taken.value.length;
      }
    }
    if (update.more) return refusals;
    const keep = new Set([...staging.accepted.keys(), ...staging.refused.keys()]);
    this.#staging = undefined;
    await this.#sink.apply(this.kind, [...staging.accepted.values()], [], { keep });
    this.#held = new Map([...staging.accepted].map(([name, received]) => [name, heldOf(received)]));
    this.#sums = { endpoints: staging.endpoints, bytes: staging.bytes };
    this.#revision = revision;
    this.#refused = new Map([...staging.refused].slice(0, LIMITS.refusals));
    return refusals;
  }

  async #delta(update: Update__Output): Promise<Refusal[]> {
    const revision = BigInt(update.revision);
    if (this.#staging !== undefined) throw this.#violation("it came before the snapshot was complete");
    if (this.#held === undefined) throw this.#violation("no snapshot came before it");
    if (update.more) throw this.#violation("only snapshots come in parts");
    if (revision <= this.#revision) throw this.#violation(`revision ${revision} is not above ${this.#revision}`);
    const held = this.#held;
    const refusals: Refusal[] = [];
    const upserts = new Map<string, Received>();
    const refused = new Map<string, string>();
    const sums = { ...this.#sums };
    const leave = ({ endpoints, bytes }: Sums) => {
      sums.endpoints -= endpoints;
      sums.bytes -= bytes;
    };
    let count = held.size;
    const removes = new Set(update.removes);
    for (const name of removes) {
      const gone = held.get(name);
      if (gone === undefined) continue;
      leave(gone);
      count--;
    }
    for (const resource of update.upserts) {
      const { name } = resource;
      if (upserts.has(name) || removes.has(name)) throw this.#violation("a name is there twice");
      // Whatever comes of it, what was there is not counted any more.
      const before = held.get(name);
      if (before !== undefined) {
        leave(before);
        count--;
      }
      const taken = this.#read(resource, count, sums, refusals);
      if (typeof taken === "string") {
        if (name.length <= MAX_NAME) refused.set(name, taken);
        continue;
      }
      upserts.set(name, taken);
      sums.endpoints += taken.endpoints;
      sums.bytes += taken.value.length;
      count++;
    }
    await this.#sink.apply(this.kind, [...upserts.values()], [...removes]);
    for (const name of [...refused.keys(), ...removes]) held.delete(name);
    for (const [name, received] of upserts) held.set(name, heldOf(received));
    this.#sums = sums;
    this.#revision = revision;
    for (const name of [...removes, ...upserts.keys()]) this.#refused.delete(name);
    for (const [name, error] of refused) if (this.#refused.size < LIMITS.refusals) this.#refused.set(name, error);
    return refusals;
  }

  #read(
    resource: Update__Output["upserts"][number],
    count: number,
    { endpoints, bytes }: Sums,
    refusals: Refusal[],
  ): Received | string {
    try {
      const taken = readResource(this.kind, resource, this.#peer);
      if (count >= countLimit(this.kind)) throw this.#over("resources", countLimit(this.kind));
      if (endpoints + taken.endpoints > LIMITS.endpoints) throw this.#over("endpoints", LIMITS.endpoints);
      if (bytes + taken.value.length > LIMITS.kindBytes) throw this.#over("bytes", LIMITS.kindBytes);
      this.#sink.admit(taken);
      return taken;
    } catch (error) {
      const known = asMeshError(error, "PROTOCOL_VIOLATION", "read the resource");
      const text = peerText(`${known.code}: ${errorText(known)}`, MAX_ERROR);
      // A longer name is none that its sender keeps.
      refusals.push({ name: resource.name.slice(0, MAX_NAME), error: text });
      this.#onRefused(resource.name.slice(0, MAX_NAME), text);
      return text;
    }
  }

  #over(what: string, limit: number): MeshError {
    return new MeshError("LIMIT_EXCEEDED", `Cannot take more ${what} of ${this.#peer.cluster}: the limit is ${limit}.`);
  }

  /** Whether the peer's digest is that of what we hold. */
  matches(digest: KindDigest__Output): boolean {
    if (this.#held === undefined || this.#staging !== undefined) return false;
    const fingerprints = new Map([...this.#held].map(([name, { fingerprint }]) => [name, fingerprint]));
    const own = digestOf(fingerprints);
    return own.count === digest.count && own.sha256.equals(digest.sha256) && BigInt(digest.revision) === this.#revision;
  }
}
