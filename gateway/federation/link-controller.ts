import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import type { TrustDomain } from "../../core/identity.ts";
import type { Log } from "../../core/log.ts";
import type { TrustStore } from "../../identity/trust-store.ts";
import type { Informer } from "../../kube/client.ts";
import { type Link, SECRETS, type Secret } from "../../kube/resources.ts";
import type { RoutePeer } from "../route-table.ts";
import { readJoinTokenRecord } from "./join-token.ts";
import { type KnownRecords, readLinks, routePeers } from "./link-peers.ts";
import type { LinkRecord } from "./link-record.ts";
import { LinkSeat, type LinkSeatDeps } from "./link-seat.ts";
import type { SyncPipe } from "./sync-pipe.ts";
import { isPast, readUnlinked, unlinkedPeer } from "./unlinked-peers.ts";

const KEEP_TOKENS_MS = 24 * 3_600_000;

export interface LinkControllerDeps extends LinkSeatDeps {
  readonly links: Informer<Link>;
  readonly secrets: Informer<Secret>;
  /** Bundles of this cluster and of those that it is linked to, by Links and their Secrets alone. */
  readonly trust: TrustStore;
  readonly onPeers: (peers: ReadonlyMap<string, RoutePeer>) => void;
}

/**
 * Makes what Links and their Secrets say so, on every replica: whom to believe, which routes there are, and a seat per
 * link, of which one replica's at a time has the link's lease.
 */
export class LinkController {
  readonly #deps: LinkControllerDeps;
  readonly #signal: AbortSignal;
  readonly #log: Log;
  readonly #seats = new Map<string, LinkSeat>();
  readonly #records: KnownRecords = new WeakMap();
  readonly #closing = new Set<Promise<void>>();
  readonly #stops: (() => void)[];
  #due = false;
  #closed = false;

  constructor(deps: LinkControllerDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
    this.#log = deps.log;
    const schedule = () => this.#schedule();
    this.#stops = [deps.links.onEvent(schedule), deps.secrets.onEvent(schedule)];
    this.#reconcile();
  }

  /** Hands a stream to the link of `trustDomain`. @throws MeshError LINK_UNKNOWN, LINK_EXISTS, ABORTED */
  async accept(trustDomain: TrustDomain, pipe: () => SyncPipe): Promise<void> {
    const link = this.#deps.links.list().find(({ spec }) => spec.trustDomain === trustDomain);
    const unknown = () => new MeshError("LINK_UNKNOWN", `Cannot sync: ${trustDomain} is not linked here.`);
    if (link === undefined) throw unknown();
    // The link may be so new that nobody has looked yet.
    if (!this.#seats.has(link.metadata.name)) this.#reconcile();
    const seat = this.#seats.get(link.metadata.name);
    if (seat === undefined) throw unknown();
    await seat.accept(pipe);
  }

  /** The replica `holder` of this gateway is gone: its links are to be had. */
  succeed(holder: string): void {
    for (const seat of this.#seats.values()) seat.succeed(holder);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#stops) stop();
    for (const [name, seat] of this.#seats) this.#drop(name, seat, "draining");
    await Promise.all(this.#closing);
  }

  #drop(name: string, seat: LinkSeat, reason: string): void {
    if (reason === "unlinked") this.#deps.metrics.forget(name);
    this.#seats.delete(name);
    const closed = seat.close(reason).finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }

  /** One look for all that happens in one tick. */
  #schedule(): void {
    if (this.#due || this.#closed) return;
    this.#due = true;
    setImmediate(() => {
      this.#due = false;
      if (!this.#closed) this.#reconcile();
    });
  }

  #reconcile(): void {
    if (this.#closed) return;
    const { own } = this.#deps;
    const records = readLinks(this.#deps, own.trustDomain, this.#log, this.#records);
    this.#believe(records);
    this.#deps.onPeers(routePeers(records, own.cluster));
    this.#seatAll(records);
    this.#tidyTokens();
  }

  /** What a gateway of `trustDomain` is told, whom nobody here believes. */
  refusal(trustDomain: TrustDomain): MeshError {
    const { cluster } = this.#deps.own;
    const linked = this.#deps.links.list().some(({ spec }) => spec.trustDomain === trustDomain);
    const note = linked ? undefined : unlinkedPeer(this.#deps.secrets.list(), trustDomain);
    if (note === undefined)
      return new MeshError("LINK_UNKNOWN", `Cannot sync: ${trustDomain} is not linked to ${cluster}.`);
    const at = new Date(note.atMs).toISOString();
    return new MeshError("UNLINKED", `Cannot sync: ${cluster} unlinked ${note.cluster} at ${at}. Unlink it there too.`);
  }

  /** Records of join tokens are of no use once long expired, and notes on who is linked again. */
  #tidyTokens(): void {
    const { secrets, links, kube, clock } = this.#deps;
    // One that is being deleted writes its note before it is gone.
    const lasting = links.list().filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const linked = new Set<string>(lasting.map(({ spec }) => spec.trustDomain));
    for (const secret of secrets.list()) {
      const record = readJoinTokenRecord(secret);
      const note = readUnlinked(secret);
      const past = note !== undefined && isPast(note, linked, clock.wallMs());
      if (past) kube.delete(SECRETS, secret.metadata.name, SYSTEM_NAMESPACE).catch(() => {});
      if (record === undefined || clock.wallMs() < record.expiresAtMs + KEEP_TOKENS_MS) continue;
      kube.delete(SECRETS, secret.metadata.name, SYSTEM_NAMESPACE).catch(() => {});
    }
  }

  #believe(records: ReadonlyMap<Link, LinkRecord>): void {
    const { trust, own } = this.#deps;
    const wanted = new Set<TrustDomain>([own.trustDomain]);
    for (const [{ metadata }, { joined }] of records) {
      if (joined === undefined) continue;
      wanted.add(joined.bundle.trustDomain);
      try {
        trust.set(joined.bundle);
      } catch (error) {
        this.#log.error("bundle refused", { link: metadata.name, reason: errorText(error) });
      }
    }
    for (const trustDomain of [...trust.bundles.keys()]) if (!wanted.has(trustDomain)) trust.delete(trustDomain);
  }

  #seatAll(records: ReadonlyMap<Link, LinkRecord>): void {
    const seen = new Set<string>();
    for (const [link, record] of records) {
      const { name, uid } = link.metadata;
      seen.add(name);
      const seat = this.#seats.get(name);
      if (seat !== undefined && seat.uid === uid) {
        seat.update(link, record);
        continue;
      }
      if (seat !== undefined) this.#drop(name, seat, "unlinked");
      this.#seats.set(name, new LinkSeat(link, record, this.#deps, this.#signal));
    }
    for (const [name, seat] of this.#seats) if (!seen.has(name)) this.#drop(name, seat, "unlinked");
  }
}
