import { asMeshError, errorText, MeshError } from "../../core/errors.ts";
import type { Ack } from "../../protos/gen/causeway/federation/v1/Ack.ts";
import type { KindDigest__Output } from "../../protos/gen/causeway/federation/v1/KindDigest.ts";
import type { Refusal } from "../../protos/gen/causeway/federation/v1/Refusal.ts";
import type { Update__Output } from "../../protos/gen/causeway/federation/v1/Update.ts";
import { LIMITS } from "./limits.ts";
import { digestOf } from "./outbox.ts";
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
}

interface Staging {
  readonly revision: bigint;
  readonly accepted: Map<string, Received>;
  /** Named in the snapshot and refused: what was known of them stays. */
  readonly refused: Set<string>;
  endpoints: number;
  parts: number;
}

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

/** The receiving side of one kind. An answer is only given for what is stored. */
export class Inbox {
  readonly kind: SyncKind;
  readonly #peer: PeerNames;
  readonly #sink: InboxSink;
  readonly #onRefused: (name: string, error: string) => void;
  #held: Map<string, Held> | undefined;
  #endpoints = 0;
  #staging: Staging | undefined;
  #revision = 0n;

  constructor(kind: SyncKind, peer: PeerNames, sink: InboxSink, onRefused: (name: string, error: string) => void) {
    this.kind = kind;
    this.#peer = peer;
    this.#sink = sink;
    this.#onRefused = onRefused;
  }

  get count(): number {
    return this.#held?.size ?? 0;
  }

  /** Applies an update and says what to answer. @throws what the sink throws: nothing was stored then */
  async receive(update: Update__Output): Promise<Ack> {
    const { nonce, revision } = update;
    try {
      const refused = await (update.snapshot ? this.#snapshot(update) : this.#delta(update));
      return { kind: this.kind, nonce, revision, error: "", refused };
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== "PROTOCOL_VIOLATION") throw error;
      this.#staging = undefined;
      return { kind: this.kind, nonce, revision, error: `${error.code}: ${errorText(error)}`, refused: [] };
    }
  }

  #violation(what: string): MeshError {
    return new MeshError("PROTOCOL_VIOLATION", `Cannot apply the update of ${this.kind}: ${what}.`);
  }

  async #snapshot(update: Update__Output): Promise<Refusal[]> {
    const revision = BigInt(update.revision);
    if (update.removes.length > 0) throw this.#violation("a snapshot removes nothing");
    if (this.#staging === undefined) {
      if (revision <= this.#revision) throw this.#violation(`revision ${revision} is not above ${this.#revision}`);
      this.#staging = { revision, accepted: new Map(), refused: new Set(), endpoints: 0, parts: 0 };
    }
    const staging = this.#staging;
    if (staging.revision !== revision)
      throw this.#violation(`revision ${revision} within the snapshot of ${staging.revision}`);
    if (++staging.parts > LIMITS.snapshotParts) throw this.#violation("its snapshot does not end");
    const refusals: Refusal[] = [];
    for (const resource of update.upserts) {
      const { name } = resource;
      if (staging.accepted.has(name) || staging.refused.has(name)) throw this.#violation("a name is there twice");
      const taken = this.#read(resource, staging.accepted.size, staging.endpoints, refusals);
      if (taken === undefined) {
        // Only as many as are allowed in all are remembered, whatever is sent.
        if (staging.refused.size < countLimit(this.kind)) staging.refused.add(name);
      } else {
        staging.accepted.set(name, taken);
        staging.endpoints += taken.endpoints;
      }
    }
    if (update.more) return refusals;
    const keep = new Set([...staging.accepted.keys(), ...staging.refused]);
    this.#staging = undefined;
    await this.#sink.apply(this.kind, [...staging.accepted.values()], [], { keep });
    const held = [...staging.accepted].map(
      ([name, { fingerprint, endpoints }]) => [name, { fingerprint, endpoints }] as const,
    );
    this.#held = new Map(held);
    this.#endpoints = staging.endpoints;
    this.#revision = revision;
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
    let endpoints = this.#endpoints;
    let count = held.size;
    const removes = new Set(update.removes);
    for (const name of removes) {
      endpoints -= held.get(name)?.endpoints ?? 0;
      if (held.has(name)) count--;
    }
    for (const resource of update.upserts) {
      const { name } = resource;
      if (upserts.has(name) || removes.has(name)) throw this.#violation("a name is there twice");
      const before = held.get(name);
      const taken = this.#read(
        resource,
        before === undefined ? count : count - 1,
        endpoints - (before?.endpoints ?? 0),
        refusals,
      );
      if (taken === undefined) continue;
      upserts.set(name, taken);
      endpoints += taken.endpoints - (before?.endpoints ?? 0);
      if (before === undefined) count++;
    }
    await this.#sink.apply(this.kind, [...upserts.values()], [...removes]);
    for (const { name } of refusals) {
      endpoints -= held.get(name ?? "")?.endpoints ?? 0;
      held.delete(name ?? "");
    }
    for (const name of removes) held.delete(name);
    for (const [name, { fingerprint, endpoints }] of upserts) held.set(name, { fingerprint, endpoints });
    this.#endpoints = endpoints;
    this.#revision = revision;
    return refusals;
  }

  #read(
    resource: Update__Output["upserts"][number],
    count: number,
    endpoints: number,
    refusals: Refusal[],
  ): Received | undefined {
    try {
      const taken = readResource(this.kind, resource, this.#peer);
      if (count >= countLimit(this.kind)) throw this.#over("resources", countLimit(this.kind));
      if (endpoints + taken.endpoints > LIMITS.endpoints) throw this.#over("endpoints", LIMITS.endpoints);
      this.#sink.admit(taken);
      return taken;
    } catch (error) {
      const known = asMeshError(error, "PROTOCOL_VIOLATION", "read the resource");
      const refusal = { name: resource.name, error: `${known.code}: ${errorText(known)}` };
      refusals.push(refusal);
      this.#onRefused(refusal.name, refusal.error);
      return undefined;
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
