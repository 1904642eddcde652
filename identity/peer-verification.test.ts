import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { hasCode, type MeshErrorCode } from "../core/errors.ts";
import { parseTrustDomain, type TrustDomain } from "../core/identity.ts";
import type { TrustBundle, TrustBundles } from "../core/trust-bundle.ts";
import { createTestMesh, type TestMesh } from "../test/support/mesh-identity.ts";
import { OpenSsl } from "../test/support/openssl.ts";
import { createIssuer, createKeyPair, createLeaf, createRoot, LIFETIME_MS, type Signer } from "./certificate.ts";
import { verifyPeer } from "./peer-verification.ts";

const HOUR_MS = 3_600_000;
const WEB = "spiffe://east.mesh/ns/shop/sa/web";
const SIGNER = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n";
const LEAF = "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n";
const BOTH = "extendedKeyUsage=serverAuth,clientAuth\n";
const ID = `subjectAltName=URI:${WEB}\n`;

function bundles(...list: TrustBundle[]): TrustBundles {
  return new Map(list.map((bundle) => [bundle.trustDomain, bundle]));
}

function bundle(trustDomain: TrustDomain, ...roots: X509Certificate[]): TrustBundle {
  return { trustDomain, cluster: "", sequence: 1n, x509Authorities: roots.map(({ raw }) => new Uint8Array(raw)) };
}

describe("verifyPeer()", () => {
  const nowMs = Date.now();
  let east: TestMesh;
  let west: TestMesh;
  let both: TrustBundles;
  let leafOf: (issuer: Signer, uri?: string, atMs?: number) => X509Certificate;

  before(async () => {
    east = await createTestMesh("east", nowMs);
    west = await createTestMesh("west", nowMs);
    both = bundles(east.authority.bundle, west.authority.bundle);
    const { publicKey } = await createKeyPair();
    leafOf = (issuer, uri = WEB, atMs = nowMs) => createLeaf(uri, publicKey, issuer, atMs);
  });

  const refuses = (code: MeshErrorCode, chain: X509Certificate[], known: TrustBundles = both, atMs = nowMs) =>
    assert.throws(
      () => verifyPeer(chain, known, atMs),
      (error) => hasCode(error, code),
    );

  it("returns the identity of a chain that ends in the bundle of its own trust domain", () => {
    const { issuer } = east.authority;
    assert.equal(verifyPeer([leafOf(issuer), issuer.certificate], both, nowMs), WEB);
    assert.equal(verifyPeer([leafOf(issuer), issuer.certificate, east.root.certificate], both, nowMs), WEB);
  });

  it("accepts a leaf signed by a root itself", () => {
    assert.equal(verifyPeer([leafOf(east.root)], both, nowMs), WEB);
  });

  it("refuses a leaf of one trust domain signed by the CA of another that is known too", () => {
    const { issuer } = west.authority;
    refuses("CERTIFICATE_UNTRUSTED", [leafOf(issuer), issuer.certificate]);
    refuses("CERTIFICATE_UNTRUSTED", [leafOf(issuer), issuer.certificate, west.root.certificate]);
    refuses("CERTIFICATE_UNTRUSTED", [leafOf(west.root)]);
  });

  it("refuses a trust domain without a bundle, and any chain for an empty bundle", () => {
    const chain = [leafOf(east.authority.issuer), east.authority.issuer.certificate];
    refuses("TRUST_DOMAIN_UNKNOWN", chain, bundles(west.authority.bundle));
    refuses("CERTIFICATE_UNTRUSTED", chain, bundles(bundle(east.authority.trustDomain)));
  });

  it("refuses another root of the same name", async () => {
    const impostor = await createTestMesh("east", nowMs);
    const { issuer } = impostor.authority;
    refuses("CERTIFICATE_UNTRUSTED", [leafOf(issuer), issuer.certificate, impostor.root.certificate]);
  });

  it("refuses what is expired or not yet valid, leaf or signer", () => {
    const { issuer } = east.authority;
    const chain = [leafOf(issuer), issuer.certificate];
    refuses("CERTIFICATE_EXPIRED", chain, both, nowMs + 25 * HOUR_MS);
    refuses("CERTIFICATE_EXPIRED", chain, both, nowMs - HOUR_MS);
    const later = nowMs + LIFETIME_MS.issuer + HOUR_MS;
    refuses("CERTIFICATE_EXPIRED", [leafOf(issuer, WEB, later), issuer.certificate], both, later);
  });

  it("refuses an empty chain, a missing issuer, a wrong order, and more than four certificates", () => {
    const { issuer } = east.authority;
    refuses("CERTIFICATE_INVALID", []);
    refuses("CERTIFICATE_UNTRUSTED", [leafOf(issuer)]);
    refuses("CERTIFICATE_INVALID", [issuer.certificate, leafOf(issuer)]);
    const root = east.root.certificate;
    refuses("CERTIFICATE_INVALID", [leafOf(issuer), issuer.certificate, root, root, root]);
  });

  it("refuses an issuer below an issuer, as the path length says", async () => {
    const { issuer } = east.authority;
    const below = await createIssuer(east.authority.trustDomain, issuer, nowMs);
    refuses("CERTIFICATE_INVALID", [leafOf(below), below.certificate, issuer.certificate]);
  });

  it("refuses an intermediate that carries the ID of another trust domain", async () => {
    const other = await createIssuer(west.authority.trustDomain, east.root, nowMs);
    refuses("CERTIFICATE_INVALID", [leafOf(other), other.certificate]);
  });

  it("refuses a root in a bundle that carries the ID of another trust domain", async () => {
    const { trustDomain } = east.authority;
    const foreign = await createRoot(west.authority.trustDomain, nowMs);
    const known = bundles(bundle(trustDomain, foreign.certificate));
    refuses("CERTIFICATE_INVALID", [leafOf(foreign)], known);
  });

  it("refuses one bit changed in the leaf", () => {
    const { issuer } = east.authority;
    const bytes = Buffer.from(leafOf(issuer).raw);
    const at = bytes.indexOf("sa/web") + 3;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    refuses("CERTIFICATE_UNTRUSTED", [new X509Certificate(bytes), issuer.certificate]);
  });

  describe("of certificates made by openssl", () => {
    const openssl = new OpenSsl();
    const trustDomain = parseTrustDomain("east.mesh");
    let known: TrustBundles;
    before(() => {
      openssl.certificate("root", "root", SIGNER);
      known = bundles(bundle(trustDomain, new X509Certificate(openssl.read("root.pem"))));
    });
    after(() => openssl[Symbol.dispose]());
    let count = 0;
    const leaf = (extensions: string, issuer = "root") => {
      const name = `leaf${count++}`;
      openssl.certificate(name, issuer, extensions);
      return new X509Certificate(openssl.read(`${name}.pem`));
    };

    it("accepts one that keeps the rules, with and without purposes", () => {
      assert.equal(verifyPeer([leaf(LEAF + BOTH + ID)], known, Date.now()), WEB);
      assert.equal(verifyPeer([leaf(LEAF + ID)], known, Date.now()), WEB);
      assert.equal(verifyPeer([leaf(`${LEAF}subjectAltName=URI:${WEB},DNS:web`)], known, Date.now()), WEB);
    });

    it("does not accept it under the bundle of the mesh", () => {
      refuses("CERTIFICATE_UNTRUSTED", [leaf(LEAF + BOTH + ID)], both, Date.now());
    });

    const cases: [string, string][] = [
      ["two URIs", `${LEAF}${BOTH}subjectAltName=URI:${WEB},URI:spiffe://west.mesh/ns/shop/sa/web`],
      ["a DNS name alone", `${LEAF}${BOTH}subjectAltName=DNS:east.mesh`],
      ["no alternative name", LEAF + BOTH],
      ["an ID without a path", `${LEAF}${BOTH}subjectAltName=URI:spiffe://east.mesh`],
      ["an upper-case trust domain", `${LEAF}${BOTH}subjectAltName=URI:spiffe://East.mesh/ns/shop/sa/web`],
      ["a leaf that is a CA", `basicConstraints=critical,CA:true\nkeyUsage=critical,digitalSignature\n${BOTH}${ID}`],
      ["a leaf that may sign certificates", `keyUsage=critical,digitalSignature,keyCertSign\n${BOTH}${ID}`],
      ["a leaf that may sign lists", `keyUsage=critical,digitalSignature,cRLSign\n${BOTH}${ID}`],
      ["a leaf without digitalSignature", `keyUsage=critical,keyAgreement\n${BOTH}${ID}`],
      ["key usage that is not critical", `keyUsage=digitalSignature\n${BOTH}${ID}`],
      ["no key usage", BOTH + ID],
      ["a leaf for servers alone", `${LEAF}extendedKeyUsage=serverAuth\n${ID}`],
      ["a leaf for clients alone", `${LEAF}extendedKeyUsage=clientAuth\n${ID}`],
      ["another purpose", `${LEAF}extendedKeyUsage=codeSigning\n${ID}`],
      ["a critical extension that is not understood", `${LEAF}${BOTH}${ID}1.2.3.4=critical,ASN1:NULL\n`],
    ];
    for (const [what, extensions] of cases) {
      it(`refuses ${what}`, () => refuses("CERTIFICATE_INVALID", [leaf(extensions)], known, Date.now()));
    }

    it("refuses a signer with a path in its ID, one that is no CA, and one that may not sign", () => {
      openssl.certificate("pathid", "root", `${SIGNER}subjectAltName=URI:spiffe://east.mesh/ns/shop/sa/ca\n`);
      openssl.certificate("noca", "root", "basicConstraints=critical,CA:false\n");
      openssl.certificate("nosign", "root", "basicConstraints=critical,CA:true\nkeyUsage=critical,cRLSign\n");
      const below = (issuer: string) => [leaf(LEAF + ID, issuer), new X509Certificate(openssl.read(`${issuer}.pem`))];
      refuses("CERTIFICATE_INVALID", below("pathid"), known, Date.now());
      refuses("CERTIFICATE_INVALID", below("noca"), known, Date.now());
      // OpenSSL's own check of who may issue refuses this one first.
      refuses("CERTIFICATE_UNTRUSTED", below("nosign"), known, Date.now());
    });

    it("refuses weak keys and hashes", () => {
      openssl.request("weak", "", ["rsa:1024"]);
      openssl.write("weak.ext", LEAF + ID);
      const sign = (hash: string, out: string) => {
        const by = ["-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "7", hash];
        openssl.run("x509", "-req", "-in", "weak.csr", ...by, "-days", "2", "-extfile", "weak.ext", "-out", out);
        return new X509Certificate(openssl.read(out));
      };
      refuses("CERTIFICATE_INVALID", [sign("-sha256", "weak.pem")], known, Date.now());
      openssl.request("weak", "");
      refuses("CERTIFICATE_INVALID", [sign("-sha1", "sha1.pem")], known, Date.now());
    });
  });
});
