import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { canonicalAddress } from "./address.ts";

describe("canonicalAddress()", () => {
  it("has one form for each address, and none for what is no address", () => {
    const cases: [string, string | undefined][] = [
      ["10.0.0.1", "10.0.0.1"],
      ["FD00:0:0::0001", "fd00::1"],
      ["0:0:0:0:0:0:0:1", "::1"],
      ["::ffff:127.20.0.9", "127.20.0.9"],
      ["::ffff:7f14:9", "127.20.0.9"],
      ["fe80::1%eth0", undefined],
      ["web", undefined],
      ["1.2.3", undefined],
      ["", undefined],
    ];
    for (const [text, address] of cases) assert.equal(canonicalAddress(text), address, text);
  });
});
