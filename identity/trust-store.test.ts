import assert from "node:assert/strict";
import { hasCode } from "../core/errors.ts";
import { parseTrustDomain } from "../core/identity.ts";
import type { TrustBundle } from "../core/trust-bundle.ts";
import { TrustStore } from "./trust-store.ts";

const east = parseTrustDomain("east.mesh");
const west = parseTrustDomain("west.mesh");

function bundle(trustDomain: TrustBundle["trustDomain"], sequence: bigint, ...roots: number[]): TrustBundle {
  return { trustDomain, cluster: "", sequence, x509Authorities: roots.map((root) => Uint8Array.of(root)) };
}

describe("TrustStore", () => {
  it("set() takes a risen sequence, keeps the same bundle, and refuses a lower one or other content", () => {
    const store = new TrustStore([bundle(east, 2n, 1)]);
    const before = store.bundles;
    assert.equal(store.set(bundle(east, 2n, 1)), false);
    assert.equal(store.bundles, before);
    assert.equal(store.set(bundle(east, 3n, 1, 2)), true);
    for (const stale of [bundle(east, 2n, 1), bundle(east, 3n, 9)]) {
      assert.throws(
        () => store.set(stale),
        (error) => hasCode(error, "BUNDLE_STALE"),
      );
    }
    assert.equal(store.bundles.get(east)?.x509Authorities.length, 2);
    assert.equal(before.get(east)?.sequence, 2n);
  });

  it("replaceAll() forgets what is missing, keeps what is stale, and says what it refused", () => {
    const store = new TrustStore([bundle(east, 5n, 1), bundle(west, 5n, 2)]);
    const known = store.bundles.get(east);
    assert.equal(store.replaceAll([bundle(east, 4n, 9)]).length, 1);
    assert.equal(store.bundles.get(east), known);
    assert.equal(store.bundles.has(west), false);
  });

  it("onChange() is told of changes only, until it is undone", () => {
    const store = new TrustStore([bundle(east, 1n, 1)]);
    let told = 0;
    const stop = store.onChange(() => told++);
    store.replaceAll([bundle(east, 1n, 1)]);
    assert.equal(store.delete(west), false);
    assert.equal(told, 0);
    store.set(bundle(west, 1n, 2));
    assert.equal(store.delete(west), true);
    assert.equal(told, 2);
    stop();
    store.set(bundle(west, 1n, 3));
    assert.equal(told, 2);
  });
});
