import { backoffMs, RECONNECT } from "../../core/backoff.ts";
import { sleep } from "../../core/clock.ts";
import { CA_NAMESPACE, SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../../core/defaults.ts";
import { asMeshError, errorText, hasCode } from "../../core/errors.ts";
import type { Random } from "../../core/random.ts";
import { notAfterMs, notBeforeMs } from "../../identity/certificate.ts";
import type { CertificateAuthority } from "../../identity/certificate-authority.ts";
import type { Informer } from "../../kube/client.ts";
import {
  CONFIG_MAPS,
  type ConfigMap,
  LINKS,
  type Link,
  SECRETS,
  type Secret,
  TRUST_ROTATIONS,
  type TrustRotation,
} from "../../kube/resources.ts";
import { type AuthorityStoreOptions, authorityOf, type LoadedAuthority, loadAuthority } from "./authority-store.ts";
import { CA_SECRET, type Issuer, readIssuer } from "./ca-secret.ts";
import { renewIssuer } from "./issuer-renewal.ts";
import { type PublishedBundle, readPublished, saysSame, writePublished } from "./published-bundle.ts";
import { currentRotation, holds, readiness, retireAtMs } from "./rotation.ts";
import { activateNext, type NextAuthority, prepareNext, readNext, tellRotation } from "./rotation-steps.ts";

export interface LiveAuthorityOptions extends AuthorityStoreOptions {
  readonly random: Random;
  /** Life of the certificates that are issued, ms. */
  readonly leafLifetimeMs: number;
}

/** Looked at without any event: the issuer's age, an old root's end. */
const LOOK_MS = 60_000;
/** Share of a life after which somebody is told that nobody can renew it. */
const WARN_AT = 0.8;

/**
 * The CA of this cluster as its Secrets and `causeway-trust` say it from moment to moment. Whatever becomes of these,
 * it goes on signing with the last good issuer, and says what is wrong. Rotates roots and issuers: each replica of
 * control takes the same steps, each of them a write on top of what was read.
 */
export class LiveAuthority {
  readonly #options: LiveAuthorityOptions;
  readonly #listeners = new Set<(authority: CertificateAuthority) => void>();
  readonly #links: Informer<Link>;
  readonly #informers: Informer<never>[];
  #loaded: LoadedAuthority;
  #authority: CertificateAuthority;
  #problem: string | undefined;
  #waiting = false;
  #wake: () => void = () => {};
  #dirty = true;
  #ended: Promise<void> = Promise.resolve();

  private constructor(options: LiveAuthorityOptions, loaded: LoadedAuthority) {
    this.#options = options;
    this.#loaded = loaded;
    this.#authority = authorityOf(loaded);
    const { kube } = options;
    this.#links = kube.informer<Link>(LINKS, { optional: true });
    const others = [
      kube.informer<Secret>(SECRETS, { namespace: CA_NAMESPACE }),
      kube.informer<ConfigMap>(CONFIG_MAPS, {
        namespace: SYSTEM_NAMESPACE,
        fieldSelector: `metadata.name=${TRUST_CONFIG_MAP}`,
      }),
      kube.informer<TrustRotation>(TRUST_ROTATIONS, { optional: true }),
    ];
    for (const informer of others) informer.onEvent(() => this.#changed());
    // Status of links changes with each round trip measured; only a rotation under way minds.
    this.#links.onEvent(() => this.#waiting && this.#changed());
    this.#informers = [this.#links, ...others] as Informer<never>[];
  }

  /** Resolves with the CA once it is there; tries for ever. @throws MeshError ABORTED */
  static async start(options: LiveAuthorityOptions, signal: AbortSignal): Promise<LiveAuthority> {
    const { log, clock, random } = options;
    for (let attempt = 0; ; attempt++) {
      try {
        const authority = new LiveAuthority(options, await loadAuthority(options));
        authority.#ended = authority.#run(signal);
        return authority;
      } catch (error) {
        log.warn("control.authority", { error: errorText(error), attempt });
        await sleep(clock, backoffMs(attempt, RECONNECT, random), signal);
      }
    }
  }

  get current(): CertificateAuthority {
    return this.#authority;
  }

  /** What is wrong with the CA, and what to do; undefined where nothing is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** When the issuer and its root end, ms since 1970. */
  get ends(): { readonly issuerMs: number; readonly rootMs: number } {
    const { signer, root } = this.#loaded.issuer;
    return { issuerMs: notAfterMs(signer.certificate), rootMs: notAfterMs(root) };
  }

  /** Resolves when nothing runs any more, after `signal` has aborted. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Calls `listener` after each change of what signs or of what is published. */
  onChange(listener: (authority: CertificateAuthority) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    this.#dirty = true;
    this.#wake();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { random, log } = this.#options;
    for (const informer of this.#informers) informer.start(signal).catch(() => {});
    for (let failures = 0; !signal.aborted; ) {
      this.#dirty = false;
      let againMs = LOOK_MS;
      try {
        againMs = Math.min(LOOK_MS, await this.#step());
        failures = 0;
      } catch (error) {
        againMs = backoffMs(failures++, RECONNECT, random);
        log.warn("ca.step", { error: errorText(error) });
      }
      if (this.#dirty) continue;
      await this.#pause(againMs, signal);
    }
  }

  /** Until something changes, `ms` are over, or `signal` aborts. */
  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        signal.removeEventListener("abort", end);
        this.#wake = () => {};
        resolve();
      };
      const cancel = this.#options.clock.after(ms, end);
      this.#wake = end;
      signal.addEventListener("abort", end, { once: true });
      if (signal.aborted) end();
    });
  }

  /** One look at everything; resolves to when to look again, ms. */
  async #step(): Promise<number> {
    const { kube, clock } = this.#options;
    const before = this.#loaded;
    await this.#followPublished();
    const secret = await kube.get<Secret>(SECRETS, CA_SECRET, CA_NAMESPACE);
    const [stored, problem] = this.#readStored(secret);
    if (stored !== undefined) this.#adoptIfKnown(stored);
    if (secret !== undefined && stored !== undefined) await this.#renew(secret, stored);
    if (!(await this.#putSigningRootFirst())) return 0;

    const rotation = currentRotation(await this.#rotations());
    const replaced =
      stored !== undefined && !stored.root.raw.equals(this.#loaded.issuer.root.raw) ? { issuer: stored } : undefined;
    const prepared =
      rotation === undefined
        ? await readNext(this.#options, undefined)
        : await prepareNext(this.#options, rotation, this.#loaded.issuer);
    const next: NextAuthority | undefined = replaced ?? prepared;
    const againMs = next === undefined ? LOOK_MS : await this.#distribute(next, rotation);
    const retireMs = await this.#retire(next, rotation);
    if (rotation !== undefined) await tellRotation(this.#options, rotation, this.#loaded, this.#links.list());
    this.#setProblem(problem ?? this.#expiry(clock.wallMs()));
    if (this.#loaded !== before) this.#announce();
    return Math.min(againMs, retireMs);
  }

  #announce(): void {
    this.#authority = authorityOf(this.#loaded);
    for (const listener of [...this.#listeners]) listener(this.#authority);
  }

  #readStored(secret: Secret | undefined): [Issuer | undefined, string | undefined] {
    if (secret === undefined) {
      const state = `Secret ${CA_NAMESPACE}/${CA_SECRET} is gone; certificates are signed from memory until control restarts`;
      return [undefined, `Cannot find the CA: ${state}. Restore it from a backup, or rotate to a new root.`];
    }
    try {
      return [readIssuer(secret, this.#options.trustDomain), undefined];
    } catch (error) {
      return [undefined, asMeshError(error, "CA_UNAVAILABLE", "read the CA").message];
    }
  }

  /** Takes another issuer under the same root, or one that another replica has made active. */
  #adoptIfKnown(stored: Issuer): void {
    const { issuer, published } = this.#loaded;
    if (stored.signer.certificate.raw.equals(issuer.signer.certificate.raw)) return;
    const sameRoot = stored.root.raw.equals(issuer.root.raw);
    const isFirst = published.roots[0]?.raw.equals(stored.root.raw) ?? false;
    if (!sameRoot && !isFirst) return;
    this.#loaded = { issuer: stored, published };
    this.#options.log.info("ca.issuer", { notAfter: stored.signer.certificate.validTo });
  }

  async #renew(secret: Secret, stored: Issuer): Promise<void> {
    const renewed = await renewIssuer(this.#options, secret, stored);
    if (renewed !== undefined) this.#loaded = { ...this.#loaded, issuer: renewed };
  }

  /** What others have published is taken where it is newer; what somebody undid is published again, on top. */
  async #followPublished(): Promise<void> {
    const { kube, log, leafLifetimeMs } = this.#options;
    const map = await kube.get<ConfigMap>(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
    const { issuer, published: mine } = this.#loaded;
    const longestLeafMs = Math.max(mine.longestLeafMs, leafLifetimeMs);
    let theirs: PublishedBundle | undefined;
    try {
      theirs = map === undefined ? undefined : readPublished(map);
    } catch (error) {
      log.error("ca.published.broken", { error: errorText(error) });
    }
    const usable = theirs !== undefined && theirs.trustDomain === mine.trustDomain && holds(theirs, issuer.root);
    if (theirs !== undefined && usable && theirs.sequence > mine.sequence) {
      this.#loaded = { issuer, published: theirs };
      return;
    }
    const wanted = { ...mine, longestLeafMs };
    if (theirs !== undefined && usable && saysSame(theirs, wanted)) return;
    const known = theirs?.sequence ?? 0n;
    const undone = theirs === undefined || !usable || theirs.sequence < mine.sequence;
    const sequence = undone && known >= mine.sequence ? known + 1n : mine.sequence;
    if (undone) log.error("ca.published.undone", { sequence: mine.sequence.toString(), found: known.toString() });
    await this.#publish(map, { ...wanted, sequence });
  }

  async #publish(map: ConfigMap | undefined, next: PublishedBundle): Promise<boolean> {
    const { kube, log } = this.#options;
    if (!(await writePublished(kube, map, next))) {
      this.#dirty = true;
      return false;
    }
    if (next.sequence !== this.#loaded.published.sequence)
      log.info("ca.published", { sequence: next.sequence.toString(), roots: next.roots.length });
    this.#loaded = { issuer: this.#loaded.issuer, published: next };
    return true;
  }

  /** Publishes other roots; the rest stays. */
  async #publishRoots(change: Pick<PublishedBundle, "roots"> & Partial<PublishedBundle>): Promise<boolean> {
    const { kube, clock } = this.#options;
    const map = await kube.get<ConfigMap>(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
    const { published } = this.#loaded;
    if (map === undefined || readPublished(map).sequence !== published.sequence) {
      this.#dirty = true;
      return false;
    }
    const sequence = published.sequence + 1n;
    return await this.#publish(map, { ...published, sequence, sinceMs: clock.wallMs(), ...change });
  }

  /**
   * The root that signs is published first, and since when it does: whoever made it active may have stopped half-way. False
   * where another replica was faster: look again.
   */
  async #putSigningRootFirst(): Promise<boolean> {
    const { issuer, published } = this.#loaded;
    if (published.roots[0]?.raw.equals(issuer.root.raw)) return true;
    const others = published.roots.filter(({ raw }) => !raw.equals(issuer.root.raw));
    return await this.#publishRoots({ roots: [issuer.root, ...others], activeSinceMs: this.#options.clock.wallMs() });
  }

  /** Publishes the next root, waits for who must know it, and then signs under it. */
  async #distribute(next: NextAuthority, rotation: TrustRotation | undefined): Promise<number> {
    const { clock, log, leafLifetimeMs } = this.#options;
    const { root } = next.issuer;
    const { published } = this.#loaded;
    this.#waiting = true;
    if (!holds(published, root)) {
      await this.#publishRoots({ roots: [...published.roots, root] });
      this.#dirty = true;
      return LOOK_MS;
    }
    const force = rotation?.spec.activation === "Now";
    const ready = readiness(published, this.#links.list(), force, clock.wallMs());
    if (!this.#links.synced) return 1_000;
    if (!ready.activate) return ready.lookAgainMs ?? LOOK_MS;
    await activateNext(this.#options, next);
    const others = published.roots.filter(({ raw }) => !raw.equals(root.raw));
    const change = { roots: [root, ...others], activeSinceMs: clock.wallMs() };
    if (!(await this.#publishRoots({ ...change, longestLeafMs: Math.max(published.longestLeafMs, leafLifetimeMs) })))
      return 0;
    this.#loaded = { ...this.#loaded, issuer: next.issuer };
    this.#waiting = false;
    log.info("ca.activated", { breaks: ready.breaks.map(({ cluster }) => cluster).join(",") });
    this.#dirty = true;
    return LOOK_MS;
  }

  /** Takes back roots under which nothing is valid any more; resolves to when that is due, ms from now. */
  async #retire(next: NextAuthority | undefined, rotation: TrustRotation | undefined): Promise<number> {
    const { clock, log, leafLifetimeMs } = this.#options;
    const { issuer, published } = this.#loaded;
    const kept = published.roots.filter(
      ({ raw }) => raw.equals(issuer.root.raw) || (next !== undefined && raw.equals(next.issuer.root.raw)),
    );
    if (kept.length === published.roots.length) return LOOK_MS;
    const now = rotation?.spec.retirement === "Now" && rotation.status?.phase === "Active";
    const leftMs = now ? 0 : retireAtMs(published) - clock.wallMs();
    if (leftMs > 0) return leftMs;
    if (await this.#publishRoots({ roots: kept, longestLeafMs: leafLifetimeMs }))
      log.info("ca.retired", { roots: published.roots.length - kept.length });
    return 0;
  }

  async #rotations(): Promise<TrustRotation[]> {
    try {
      return await this.#options.kube.list<TrustRotation>(TRUST_ROTATIONS);
    } catch (error) {
      if (hasCode(error, "KUBE_NOT_FOUND")) return [];
      throw error;
    }
  }

  #expiry(nowMs: number): string | undefined {
    const { signer, root } = this.#loaded.issuer;
    for (const [what, certificate] of [
      ["issuer", signer.certificate],
      ["root", root],
    ] as const) {
      const lifeMs = notAfterMs(certificate) - notBeforeMs(certificate);
      if (nowMs - notBeforeMs(certificate) < WARN_AT * lifeMs) continue;
      const end = new Date(notAfterMs(certificate)).toISOString();
      const remedy = what === "root" ? "Run mesh trust rotate." : `Renew it in Secret ${CA_NAMESPACE}/${CA_SECRET}.`;
      return `The CA's ${what} ends at ${end}. ${remedy}`;
    }
    return undefined;
  }

  #setProblem(problem: string | undefined): void {
    if (problem === this.#problem) return;
    const { log } = this.#options;
    if (problem !== undefined) log.error("ca.problem", { problem });
    else log.info("ca.sound");
    this.#problem = problem;
  }
}
