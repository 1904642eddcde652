import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { hasCode } from "./errors.ts";
import { parseTrustDomain } from "./identity.ts";
import { supersedes, type TrustBundle } from "./trust-bundle.ts";

function bundle(sequence: bigint, ...roots: string[]): TrustBundle {
  const x509Authorities = roots.map((r) => new TextEncoder().encode(r));
  return { trustDomain: parseTrustDomain("east.mesh"), cluster: "east", sequence, x509Authorities };
}

describe("supersedes()", () => {
  it("takes a first bundle and a risen sequence", () => {
    assert.equal(supersedes(bundle(1n, "a"), undefined), true);
    assert.equal(supersedes(bundle(2n ** 60n, "b"), bundle(1n, "a")), true);
  });
  it("ignores the same bundle again", () => {
    assert.equal(supersedes(bundle(3n, "a", "b"), bundle(3n, "a", "b")), false);
  });
  it("refuses a lower sequence", () => {
    assert.throws(
      () => supersedes(bundle(2n, "a"), bundle(3n, "a")),
      (e) => hasCode(e, "BUNDLE_STALE"),
    );
  });
  it("refuses an equal sequence with other content", () => {
    assert.throws(
      () => supersedes(bundle(3n, "a", "b"), bundle(3n, "a")),
      (e) => hasCode(e, "BUNDLE_STALE"),
    );
    assert.throws(
      () => supersedes(bundle(3n, "b"), bundle(3n, "a")),
      (e) => hasCode(e, "BUNDLE_STALE"),
    );
  });
});
