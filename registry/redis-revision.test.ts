import assert from "node:assert/strict";
import fc from "fast-check";
import { ORIGIN, revisionOf, streamId } from "./redis-revision.ts";

const ids = fc.tuple(fc.maxSafeNat(), fc.nat((1 << 21) - 1));

describe("revisionOf()", () => {
  it("is undone by streamId() and orders as Redis orders stream ids", () => {
    assert.equal(revisionOf(ORIGIN), 0n);
    fc.assert(
      fc.property(ids, ids, ([ms, n], [ms2, n2]) => {
        const [one, two] = [revisionOf(`${ms}-${n}`), revisionOf(`${ms2}-${n2}`)];
        assert.equal(streamId(one), `${ms}-${n}`);
        assert.equal(one < two, ms < ms2 || (ms === ms2 && n < n2));
      }),
    );
  });
});
