import { every } from "../../core/clock.ts";
import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import type { TrustDomain } from "../../core/identity.ts";
import type { LinkState } from "../../core/link.ts";
import type { Log } from "../../core/log.ts";
import type { TrustStore } from "../../identity/trust-store.ts";
import type { Informer } from "../../kube/client.ts";
import { type Link, SECRETS, type Secret } from "../../kube/resources.ts";
import { PEER_LINKS } from "../../registry/state.ts";
import type { RoutePeer } from "../route-table.ts";
import { readJoinTokenRecord } from "./join-token.ts";
import { readLinks, routePeers } from "./link-peers.ts";
import type { LinkRecord } from "./link-record.ts";
import { LinkRunner, type LinkRunnerDeps } from "./link-runner.ts";
import { StandbyWriter } from "./standby-writer.ts";
import type { SyncPipe } from "./sync-pipe.ts";
import { isPast, readUnlinked, unlinkedPeer } from "./unlinked-peers.ts";

const KEEP_TOKENS_MS = 24 * 3_600_000;
/** How often a replica that took a stream without leading looks whether the one that leads is back. */
const STANDBY_LOOK_MS = 1_000;

export interface LinkControllerDeps extends LinkRunnerDeps {
  readonly links: Informer<Link>;
  readonly secrets: Informer<Secret>;
  /** Bundles of this cluster and of those that it is linked to, by Links and their Secrets alone. */
  readonly trust: TrustStore;
  readonly onPeers: (peers: ReadonlyMap<string, RoutePeer>) => void;
  /** Whether another replica leads, and lives. */
  readonly leaderAnswers: () => Promise<boolean>;
}

/**
 * Makes what Links and their Secrets say so: on every replica whom to believe and which routes there are; on the
 * one that leads a runner per link. While the one that leads is dead, and its lease not over yet, another takes the
 * streams of peers: they hear of this cluster, and what they say is written once somebody leads again.
 */
export class LinkController {
  readonly #deps: LinkControllerDeps;
  readonly #signal: AbortSignal;
  readonly #log: Log;
  readonly #runners = new Map<string, LinkRunner>();
  /** What runners that began before this replica leads hold back. */
  readonly #standby = new Map<LinkRunner, StandbyWriter>();
  #stopLooking: (() => void) | undefined;
  readonly #closing = new Set<Promise<void>>();
  readonly #stops: (() => void)[];
  /** While leading: what the registry said of links when that began. */
  #before: ReadonlyMap<string, LinkState> | undefined;
  #term = 0;
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

  /** This replica leads, or does no longer. */
  async lead(leading: boolean): Promise<void> {
    const term = ++this.#term;
    if (!leading) {
      this.#before = undefined;
      await this.#closeAll("draining");
      return;
    }
    const before = new Map<string, LinkState>();
    try {
      const { entries } = await this.#deps.store.read(PEER_LINKS.prefix);
      for (const { key, value } of entries) before.set(key.slice(PEER_LINKS.prefix.length), PEER_LINKS.decode(value));
    } catch (error) {
      this.#log.warn("link states not recalled", { reason: errorText(error) });
    }
    if (term !== this.#term) return;
    this.#before = before;
    this.#stopLooking?.();
    this.#stopLooking = undefined;
    for (const [runner, writer] of this.#standby) {
      writer.promote();
      runner.lead();
    }
    this.#standby.clear();
    this.#schedule();
  }

  /** Hands a stream to the link of `trustDomain`. @throws MeshError LINK_UNKNOWN, LINK_EXISTS, REGISTRY_UNAVAILABLE */
  async accept(trustDomain: TrustDomain, pipe: () => SyncPipe): Promise<void> {
    const link = this.#deps.links.list().find(({ spec }) => spec.trustDomain === trustDomain);
    if (link === undefined) throw new MeshError("LINK_UNKNOWN", `Cannot sync: ${trustDomain} is not linked here.`);
    const runner = this.#runners.get(link.metadata.name) ?? (await this.#standIn(link));
    await runner.accept(pipe);
  }

  /** A runner for `link` while nobody leads. @throws MeshError REGISTRY_UNAVAILABLE where somebody does */
  async #standIn(link: Link): Promise<LinkRunner> {
    const { links, clock, writer } = this.#deps;
    const { name } = link.metadata;
    const refused = () =>
      // The peer tries the next address, then this one again.
      new MeshError("REGISTRY_UNAVAILABLE", "Cannot sync: this gateway does not lead. Try another.");
    if (this.#before !== undefined || (await this.#deps.leaderAnswers())) throw refused();
    const known = this.#runners.get(name);
    if (known !== undefined) return known;
    const current = links.get(name);
    if (this.#before !== undefined || this.#closed || current === undefined) throw refused();
    const record = readLinks(this.#deps, this.#deps.own.trustDomain, this.#log).get(current) ?? {};
    const held = new StandbyWriter(writer);
    const runner = new LinkRunner(current, record, undefined, { ...this.#deps, writer: held }, this.#signal, false);
    this.#runners.set(name, runner);
    this.#standby.set(runner, held);
    this.#stopLooking ??= every(clock, STANDBY_LOOK_MS, () => void this.#standDown());
    this.#log.info("stream taken while nobody leads", { link: name });
    return runner;
  }

  /** Gives the streams up where the replica that leads is back: peers go there. */
  async #standDown(): Promise<void> {
    if (!(await this.#deps.leaderAnswers()) || this.#before !== undefined) return;
    this.#stopLooking?.();
    this.#stopLooking = undefined;
    for (const [name, runner] of this.#runners) if (this.#standby.has(runner)) this.#drop(name, runner, "draining");
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#term++;
    this.#stopLooking?.();
    for (const stop of this.#stops) stop();
    await this.#closeAll("draining");
  }

  async #closeAll(reason: string): Promise<void> {
    for (const [name, runner] of this.#runners) this.#drop(name, runner, reason);
    await Promise.all(this.#closing);
  }

  #drop(name: string, runner: LinkRunner, reason: string): void {
    if (reason === "unlinked") this.#deps.metrics.forget(name);
    this.#runners.delete(name);
    this.#standby.delete(runner);
    const closed = runner.close(reason).finally(() => this.#closing.delete(closed));
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
    const { own } = this.#deps;
    const records = readLinks(this.#deps, own.trustDomain, this.#log);
    this.#believe(records);
    this.#deps.onPeers(routePeers(records, own.cluster));
    if (this.#before === undefined) {
      this.#updateStandby(records);
      return;
    }
    this.#runAll(records, this.#before);
    this.#tidyTokens();
  }

  #updateStandby(records: ReadonlyMap<Link, LinkRecord>): void {
    for (const [name, runner] of this.#runners) {
      const found = [...records].find(([{ metadata }]) => metadata.name === name && metadata.uid === runner.uid);
      if (found === undefined) this.#drop(name, runner, "draining");
      else runner.update(...found);
    }
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

  #runAll(records: ReadonlyMap<Link, LinkRecord>, before: ReadonlyMap<string, LinkState>): void {
    const seen = new Set<string>();
    for (const [link, record] of records) {
      const { name, uid } = link.metadata;
      seen.add(name);
      const runner = this.#runners.get(name);
      if (runner !== undefined && runner.uid === uid) {
        runner.update(link, record);
        continue;
      }
      if (runner !== undefined) this.#drop(name, runner, "unlinked");
      this.#runners.set(name, new LinkRunner(link, record, before.get(name), this.#deps, this.#signal));
    }
    for (const [name, runner] of this.#runners) if (!seen.has(name)) this.#drop(name, runner, "unlinked");
  }
}
