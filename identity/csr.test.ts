import assert from "node:assert/strict";
import { createPublicKey, randomBytes } from "node:crypto";
import fc from "fast-check";
import { hasCode } from "../core/errors.ts";
import { parseIdentity } from "../core/identity.ts";
import { OpenSsl } from "../test/support/openssl.ts";
import { createCsr, parseCsr } from "./csr.ts";

const web = parseIdentity("spiffe://east.mesh/ns/shop/sa/web");
const refused = (error: unknown) => hasCode(error, "CSR_INVALID");

describe("createCsr()", () => {
  it("makes a request that openssl verifies", async () => {
    using openssl = new OpenSsl();
    openssl.write("ours.der", (await createCsr(web)).csrDer);
    const text = openssl.run("req", "-inform", "DER", "-in", "ours.der", "-verify", "-noout", "-text");
    assert.match(text, /verify OK/);
    assert.match(text, /URI:spiffe:\/\/east\.mesh\/ns\/shop\/sa\/web\n/);
  });

  it("makes a request that parseCsr() accepts, with the key's public half", async () => {
    const { csrDer, privateKey } = await createCsr(web);
    const { identity, publicKey } = parseCsr(csrDer);
    assert.equal(identity, web);
    assert.ok(publicKey.equals(createPublicKey(privateKey)));
  });
});

describe("parseCsr()", () => {
  const openssl = new OpenSsl();
  after(() => openssl[Symbol.dispose]());
  const made = (name: string, extensions: string, algorithm?: string[]) => {
    openssl.request(name, extensions, algorithm);
    return openssl.der("req", `${name}.csr`);
  };

  it("accepts a request made by openssl", () => {
    const der = made("good", `subjectAltName=URI:${web}\nkeyUsage=critical,digitalSignature`);
    assert.equal(parseCsr(der).identity, web);
  });

  const cases: [string, string, string[]?][] = [
    ["two URIs", `subjectAltName=URI:${web},URI:spiffe://east.mesh/ns/shop/sa/admin`],
    ["a DNS name beside the URI", `subjectAltName=URI:${web},DNS:web`],
    ["a DNS name alone", "subjectAltName=DNS:web"],
    ["no name", "keyUsage=digitalSignature"],
    ["a URI that is no SPIFFE ID of a workload", "subjectAltName=URI:spiffe://east.mesh/web"],
    ["an RSA key", `subjectAltName=URI:${web}`, ["rsa:2048"]],
    ["a P-384 key", `subjectAltName=URI:${web}`, ["ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"]],
    ["an Ed25519 key", `subjectAltName=URI:${web}`, ["ed25519"]],
  ];
  for (const [what, extensions, algorithm] of cases) {
    it(`refuses ${what}`, () => {
      const der = made(what.replaceAll(/\W/g, ""), extensions, algorithm);
      assert.throws(() => parseCsr(der), refused);
    });
  }

  it("refuses another's signature, bytes behind the end, and over 8 KiB", async () => {
    const { csrDer } = await createCsr(web);
    const forged = Buffer.from(csrDer);
    forged[forged.indexOf("sa/web") + 3] = "x".charCodeAt(0);
    assert.throws(() => parseCsr(forged), refused);
    assert.throws(() => parseCsr(Buffer.concat([csrDer, Buffer.of(0)])), refused);
    assert.throws(() => parseCsr(Buffer.concat([csrDer, randomBytes(8 * 1024)])), refused);
    assert.throws(() => parseCsr(Buffer.alloc(0)), refused);
  });

  it("refuses whatever a flipped byte or a cut makes of a good one, with no other error", async () => {
    const { csrDer } = await createCsr(web);
    const at = fc.nat(csrDer.length - 1);
    fc.assert(
      fc.property(at, fc.integer({ min: 1, max: 255 }), fc.boolean(), (i, flip, cut) => {
        const bytes = Buffer.from(csrDer);
        bytes[i] = (bytes[i] ?? 0) ^ flip;
        assert.throws(() => parseCsr(cut ? bytes.subarray(0, i) : bytes), refused);
      }),
      { numRuns: 300 },
    );
  });
});
