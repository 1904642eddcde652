import assert from "node:assert/strict";
import { MIRROR_FINALIZER } from "../../core/defaults.ts";
import { MeshError } from "../../core/errors.ts";
import type { Link } from "../../kube/resources.ts";
import { linkTo } from "../../test/support/mirror-world.ts";
import { finalizerStep, isImporting, type LinkFacts, linkConditions, linkStatusStep } from "./link-status.ts";
import type { Problem } from "./mirror-plan.ts";

const CLEAN: LinkFacts = { problems: [], shortened: [], refusals: [] };

function missing(count: number): Problem[] {
  return Array.from({ length: count }, (_, i) => ({
    reason: "NamespaceMissing",
    service: `ns${i}/web`,
    mirror: "web-east",
  }));
}

function edited(link: Link, present: boolean): string[] | undefined {
  const step = finalizerStep(link, present);
  return step?.action === "edit" ? step.edit(link)?.metadata.finalizers : undefined;
}

describe("linkConditions()", () => {
  const text = (facts: Partial<LinkFacts>) => linkConditions(linkTo("east"), { ...CLEAN, ...facts });

  it("is content with nothing to report", () => {
    assert.deepEqual(
      text({}).map(({ type, status }) => `${type}=${status}`),
      ["ServicesMirrored=True", "AddressesAccepted=True"],
    );
  });

  it("lists some names and counts the rest", () => {
    const [condition] = text({ problems: missing(12) });
    assert.equal(condition?.reason, "NamespaceMissing");
    assert.match(condition?.message ?? "", /^Cannot mirror ns0\/web.* and 2 more: no namespace ns0.* and 2 more here/);
  });

  it("names shortened names without complaint", () => {
    assert.match(text({ shortened: ["abc"] })[0]?.message ?? "", /shortened: abc/);
  });

  it("carries the API server's words about refused addresses", () => {
    const error = new MeshError("KUBE_INVALID", "may not be in the loopback range");
    const [, condition] = text({ refusals: [{ kind: "address", error }] });
    assert.deepEqual([condition?.status, condition?.reason], ["False", "ADDRESS_REFUSED"]);
    assert.match(condition?.message ?? "", /loopback range/);
  });
});

describe("linkStatusStep()", () => {
  it("leaves the gateway's part of the status as it is, and is undefined once done", () => {
    const link: Link = { ...linkTo("east"), status: { phase: "active", services: 3 } };
    const step = linkStatusStep(link, CLEAN, () => 0);
    assert.ok(step?.action === "edit");
    const next = step.edit(link) as Link;
    assert.deepEqual([next.status?.phase, next.status?.services], ["active", 3]);
    assert.equal(
      linkStatusStep(next, CLEAN, () => 0),
      undefined,
    );
  });
});

describe("finalizerStep()", () => {
  const leaving = (finalizers: string[]): Link => {
    const link = linkTo("east", {}, finalizers);
    return { ...link, metadata: { ...link.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
  };

  it("adds ours to a Link that stands, beside those of others", () => {
    assert.deepEqual(edited(linkTo("east", {}, ["other"]), false), ["other", MIRROR_FINALIZER]);
    assert.equal(finalizerStep(linkTo("east"), true), undefined);
  });

  it("takes it off once nothing is left, and never adds one to a Link that goes", () => {
    assert.equal(finalizerStep(leaving([MIRROR_FINALIZER]), true), undefined);
    assert.deepEqual(edited(leaving([MIRROR_FINALIZER, "other"]), false), ["other"]);
    assert.equal(finalizerStep(leaving(["other"]), false), undefined);
  });
});

describe("isImporting()", () => {
  it("wants a Link that stands, imports and will be cleaned up", () => {
    assert.equal(isImporting(linkTo("east")), true);
    assert.equal(isImporting(linkTo("east", { import: false })), false);
    assert.equal(isImporting(linkTo("east", {}, [])), false);
  });
});
