import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { hasCode } from "./errors.ts";
import { identityOf, identityParts, parseIdentity, parseTrustDomain } from "./identity.ts";

describe("parseIdentity()", () => {
  it("takes a well-formed ID apart again", () => {
    const identity = parseIdentity("spiffe://west.mesh/ns/shop/sa/client");
    assert.deepEqual(identityParts(identity), {
      trustDomain: "west.mesh",
      namespace: "shop",
      serviceAccount: "client",
    });
    assert.equal(identityOf(parseTrustDomain("west.mesh"), "shop", "client"), identity);
  });

  const wrong = [
    "",
    "spiffe://",
    "http://west.mesh/ns/a/sa/b",
    "spiffe://West.mesh/ns/a/sa/b",
    "spiffe://west.mesh:80/ns/a/sa/b",
    "spiffe://u@west.mesh/ns/a/sa/b",
    "spiffe://west.mesh/ns/a/sa/b/",
    "spiffe://west.mesh/ns//sa/b",
    "spiffe://west.mesh/ns/../sa/b",
    "spiffe://west.mesh/ns/a/sa/b?x",
    "spiffe://west.mesh/ns/a/sa/b#x",
    "spiffe://west.mesh/ns/a/sa/%62",
    "spiffe://west.mesh/ns/a/sa/.",
    "spiffe://west.mesh/ns/a/sa/b\n",
    `spiffe://west.mesh/ns/${"a".repeat(3000)}/sa/b`,
  ];
  for (const text of wrong) {
    it(`refuses ${JSON.stringify(text.slice(0, 60))}`, () => {
      assert.throws(
        () => parseIdentity(text),
        (e) => hasCode(e, "IDENTITY_INVALID"),
      );
    });
  }
});
