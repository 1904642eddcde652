import assert from "node:assert/strict";
import type { Condition } from "../kube/resources.ts";
import { withConditions } from "./conditions.ts";

const BEFORE: Condition = {
  type: "Mine",
  status: "True",
  reason: "R",
  message: "",
  lastTransitionTime: "2026-01-01T00:00:00Z",
};
const NOW = Date.parse("2026-02-02T00:00:00Z");

describe("withConditions()", () => {
  it("is undefined where nothing changes", () => {
    assert.equal(
      withConditions([BEFORE], [{ type: "Mine", status: "True", reason: "R", message: "" }], NOW),
      undefined,
    );
  });

  it("touches no type but those wanted", () => {
    const other = { ...BEFORE, type: "Other" };
    const next = withConditions([other, BEFORE], [{ type: "Mine", status: "False", reason: "R", message: "" }], NOW);
    assert.equal(next?.[0], other);
    assert.equal(next?.[1]?.lastTransitionTime, "2026-02-02T00:00:00Z");
  });

  it("keeps the time of transition while the status stays, and bounds the message", () => {
    const next = withConditions(
      [BEFORE],
      [{ type: "Mine", status: "True", reason: "R", message: "x".repeat(5_000) }],
      NOW,
    );
    assert.equal(next?.[0]?.lastTransitionTime, BEFORE.lastTransitionTime);
    assert.equal(next?.[0]?.message.length, 1_024);
  });
});
