import { MeshError } from "../../core/errors.ts";
import type { GatewayAddress } from "../../core/link.ts";
import { supersedes, type TrustBundle } from "../../core/trust-bundle.ts";
import type { KindDigest__Output } from "../../protos/gen/causeway/federation/v1/KindDigest.ts";
import {
  PEER_BUNDLES,
  PEER_DIGESTS,
  PEER_ENDPOINTS,
  PEER_GATEWAYS,
  PEER_LINKS,
  PEER_SERVICES,
  stateKey,
} from "../../registry/state.ts";
import type { RegistryStore } from "../../registry/store.ts";
import type { InboxSink } from "./inbox.ts";
import { peerKey, type Received, type SyncKind } from "./wire.ts";

/** The registry as the gateway writes it: what is desired of its own keys, kept so while it leads. */
export interface StateWriter {
  set(key: string, value: string): void;
  delete(key: string): void;
  /** Exactly `values`, by full key, under `prefix`. */
  replacePrefix(prefix: string, values: ReadonlyMap<string, string>): void;
  /** All of it is stored. @throws MeshError ABORTED */
  settled(): Promise<void>;
}

/** What outlives the registry: needed to know the peer after a restart. */
export interface PeerTrustStore {
  /** The bundle that is known of the peer. */
  readonly bundle: TrustBundle | undefined;
  /** Stores; returns once stored. */
  save(change: { bundle?: TrustBundle; gateways?: readonly GatewayAddress[] }): Promise<void>;
}

const KINDS = { KIND_SERVICES: PEER_SERVICES, KIND_ENDPOINTS: PEER_ENDPOINTS, KIND_GATEWAYS: PEER_GATEWAYS } as const;

/** What one peer exports to us, put where it belongs: the registry, and its bundle and gateways in the link's Secret. */
export class PeerImports implements InboxSink {
  readonly #cluster: string;
  readonly #writer: StateWriter;
  readonly #trust: PeerTrustStore;
  readonly #wanted: () => boolean;
  /** By kind and name, what the registry is to hold. */
  readonly #values = new Map<SyncKind, Map<string, string>>();

  constructor(cluster: string, writer: StateWriter, trust: PeerTrustStore, wanted: () => boolean) {
    this.#cluster = cluster;
    this.#writer = writer;
    this.#trust = trust;
    this.#wanted = wanted;
  }

  /** Learns what an earlier gateway left, so that a value refused later does not take the last good one along. */
  async recall(store: RegistryStore): Promise<void> {
    for (const kind of ["KIND_SERVICES", "KIND_ENDPOINTS", "KIND_GATEWAYS"] as const) {
      const prefix = this.#prefix(kind);
      const { entries } = await store.read(prefix);
      const values = new Map<string, string>(entries.map(({ key, value }) => [key.slice(prefix.length), value]));
      if (!this.#values.has(kind)) this.#values.set(kind, values);
    }
  }

  admit({ bundle }: Received): void {
    if (bundle === undefined) return;
    const known = this.#trust.bundle;
    if (!supersedes(bundle, known) || known === undefined) return;
    // Roots are handed on one by one. A set that is all new would cut the peer off from its own link, or hand it to another.
    const shared = bundle.x509Authorities.some((a) => known.x509Authorities.some((b) => Buffer.compare(a, b) === 0));
    if (shared) return;
    throw new MeshError(
      "CERTIFICATE_UNTRUSTED",
      `Cannot take bundle of ${bundle.trustDomain}: it has none of the roots that are known. Link again if its CA was made anew.`,
    );
  }

  async apply(
    kind: SyncKind,
    upserts: readonly Received[],
    removes: readonly string[],
    whole?: { keep: ReadonlySet<string> },
  ): Promise<void> {
    switch (kind) {
      case "KIND_BUNDLES":
        await this.#applyBundles(upserts);
        break;
      case "KIND_GATEWAYS":
        // Without any gateway the peer could not have told us: keep those we know.
        if (whole !== undefined && upserts.length === 0) return;
        this.#store(kind, upserts, removes, whole);
        await this.#saveGateways();
        break;
      case "KIND_SERVICES":
      case "KIND_ENDPOINTS":
        if (this.#wanted()) this.#store(kind, upserts, removes, whole);
        else this.#store(kind, [], [], { keep: new Set() });
        break;
      default:
        kind satisfies never;
    }
    await this.#writer.settled();
  }

  /** Removes all of the peer's state; resolves once it is gone. */
  async clear(): Promise<void> {
    this.#values.clear();
    for (const { prefix } of [...Object.values(KINDS), PEER_BUNDLES]) {
      this.#writer.replacePrefix(`${prefix}${this.#cluster}/`, new Map());
    }
    this.#writer.delete(stateKey(PEER_LINKS, this.#cluster));
    this.#writer.delete(stateKey(PEER_DIGESTS, this.#cluster));
    await this.#writer.settled();
  }

  /** Puts into the registry what the link's Secret says: the bundle must be there before the peer is. */
  publishBundle(bundle: TrustBundle): void {
    this.#writer.set(stateKey(PEER_BUNDLES, this.#cluster, bundle.trustDomain), PEER_BUNDLES.encode(bundle));
  }

  /** What the peer and this gateway agree on, so that the registry can be checked against it. */
  publishDigest(kinds: readonly KindDigest__Output[]): void {
    const of = (kind: SyncKind) => {
      const { sha256, count = 0 } = kinds.find((digest) => digest.kind === kind) ?? {};
      return { count, sha256: sha256?.toString("hex") ?? "" };
    };
    const digest = { service: of("KIND_SERVICES"), endpoints: of("KIND_ENDPOINTS") };
    this.#writer.set(stateKey(PEER_DIGESTS, this.#cluster), PEER_DIGESTS.encode(digest));
  }

  #prefix(kind: keyof typeof KINDS): string {
    return `${KINDS[kind].prefix}${this.#cluster}/`;
  }

  #store(
    kind: keyof typeof KINDS,
    upserts: readonly Received[],
    removes: readonly string[],
    whole: { keep: ReadonlySet<string> } | undefined,
  ): void {
    const values = this.#values.get(kind) ?? new Map<string, string>();
    this.#values.set(kind, values);
    if (whole === undefined) {
      for (const name of removes) {
        // A name that was never there could be anything, and there could be any number.
        if (values.delete(name)) this.#writer.delete(peerKey(kind, this.#cluster, name));
      }
      for (const received of upserts) {
        values.set(received.name, received.value);
        this.#writer.set(received.key, received.value);
      }
      return;
    }
    for (const name of [...values.keys()]) if (!whole.keep.has(name)) values.delete(name);
    for (const received of upserts) values.set(received.name, received.value);
    const all = new Map<string, string>();
    for (const [name, value] of values) all.set(peerKey(kind, this.#cluster, name), value);
    this.#writer.replacePrefix(this.#prefix(kind), all);
  }

  /** Sync adds to a bundle and never takes it away: that is what unlinking is for. */
  async #applyBundles(upserts: readonly Received[]): Promise<void> {
    for (const { bundle } of upserts) {
      if (bundle === undefined) continue;
      if (supersedes(bundle, this.#trust.bundle)) await this.#trust.save({ bundle });
      this.publishBundle(bundle);
    }
  }

  async #saveGateways(): Promise<void> {
    const texts = [...(this.#values.get("KIND_GATEWAYS")?.values() ?? [])];
    const gateways = texts.map((text) => PEER_GATEWAYS.decode(text));
    if (gateways.length > 0) await this.#trust.save({ gateways });
  }
}
