import type { MeshError } from "../core/errors.ts";
import { asMeshError } from "../core/errors.ts";
import type { TrustDomain } from "../core/identity.ts";
import { supersedes, type TrustBundle, type TrustBundles } from "../core/trust-bundle.ts";

/** The bundles that are believed, each for its own trust domain only. */
export class TrustStore {
  #bundles: TrustBundles;
  readonly #listeners = new Set<(bundles: TrustBundles) => void>();

  constructor(initial: Iterable<TrustBundle> = []) {
    this.#bundles = new Map([...initial].map((bundle) => [bundle.trustDomain, bundle]));
  }

  /** As of now; later changes make another map, and bundles that stay keep their object. */
  get bundles(): TrustBundles {
    return this.#bundles;
  }

  /** False where it was known. @throws MeshError BUNDLE_STALE */
  set(bundle: TrustBundle): boolean {
    if (!supersedes(bundle, this.#bundles.get(bundle.trustDomain))) return false;
    this.#replace(new Map(this.#bundles).set(bundle.trustDomain, bundle));
    return true;
  }

  /** Believes the trust domain no longer. False where it was unknown. */
  delete(trustDomain: TrustDomain): boolean {
    const next = new Map(this.#bundles);
    if (!next.delete(trustDomain)) return false;
    this.#replace(next);
    return true;
  }

  /** Takes a whole state: what is missing is no longer believed; a stale bundle is refused and the known one kept. */
  replaceAll(bundles: Iterable<TrustBundle>): readonly MeshError[] {
    const next = new Map<TrustDomain, TrustBundle>();
    const refused: MeshError[] = [];
    for (const bundle of bundles) {
      const known = this.#bundles.get(bundle.trustDomain);
      try {
        next.set(bundle.trustDomain, supersedes(bundle, known) || known === undefined ? bundle : known);
      } catch (error) {
        refused.push(asMeshError(error, "BUNDLE_STALE", "take a bundle"));
        if (known !== undefined) next.set(known.trustDomain, known);
      }
    }
    const same =
      next.size === this.#bundles.size && [...next].every(([name, bundle]) => this.#bundles.get(name) === bundle);
    if (!same) this.#replace(next);
    return refused;
  }

  /** Calls `listener` after each change until the returned function is called. */
  onChange(listener: (bundles: TrustBundles) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #replace(next: TrustBundles): void {
    this.#bundles = next;
    for (const listener of [...this.#listeners]) listener(next);
  }
}
