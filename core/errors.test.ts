import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "mocha";
import { asMeshError, ERROR_MEANINGS, errorText, hasCode, MeshError } from "./errors.ts";

/** Codes of the table at the end of docs/operations.md, in order, with what it says they mean. */
function tabled(): [code: string, meaning: string][] {
  const page = readFileSync(new URL("../docs/operations.md", import.meta.url), "utf8");
  const [, table = ""] = page.split("\n## Error codes\n");
  return [...table.matchAll(/^\| `([A-Z_]+)` \| ([^|]+) \|/gm)].map(([, code = "", meaning = ""]) => [code, meaning]);
}

describe("ERROR_MEANINGS", () => {
  it("is what docs/operations.md tables, code by code", () => {
    assert.deepEqual(tabled(), Object.entries(ERROR_MEANINGS));
  });
});

describe("asMeshError()", () => {
  it("keeps a MeshError and wraps what is none, with its cause, on one line", () => {
    const own = new MeshError("USAGE", "Cannot x: y.");
    assert.equal(asMeshError(own, "INTERNAL", "z"), own);
    const cause = new Error("two\n  lines");
    const wrapped = asMeshError(cause, "KUBE_FAILED", "list pods");
    assert.deepEqual(
      [wrapped.code, wrapped.message, wrapped.cause],
      ["KUBE_FAILED", "Cannot list pods: two lines", cause],
    );
  });
});

describe("hasCode()", () => {
  it("tells codes apart, and errors that have none", () => {
    assert.equal(hasCode(new MeshError("USAGE", ""), "ABORTED", "USAGE"), true);
    assert.equal(hasCode(new MeshError("USAGE", ""), "ABORTED"), false);
    assert.equal(hasCode(new Error("USAGE"), "USAGE"), false);
  });
});

describe("errorText()", () => {
  it("has a word for everything that can be thrown", () => {
    assert.deepEqual(
      [errorText(new TypeError("")), errorText("a\tb"), errorText(undefined)],
      ["TypeError", "a b", "undefined"],
    );
  });
});
