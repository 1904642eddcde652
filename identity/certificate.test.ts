import assert from "node:assert/strict";
import { defaultTrustDomain } from "../core/identity.ts";
import { OpenSsl } from "../test/support/openssl.ts";
import {
  createIssuer,
  createKeyPair,
  createLeaf,
  createRoot,
  LIFETIME_MS,
  notAfterMs,
  notBeforeMs,
  pemOf,
  rootFingerprint,
} from "./certificate.ts";

const east = defaultTrustDomain("east");
const ID = "spiffe://east.mesh/ns/shop/sa/web";

describe("certificates", () => {
  const openssl = new OpenSsl();
  after(() => openssl[Symbol.dispose]());

  it("verify under openssl from leaf to root, for both purposes", async () => {
    const root = await createRoot(east, Date.now());
    const issuer = await createIssuer(east, root, Date.now());
    const leaf = createLeaf(ID, (await createKeyPair()).publicKey, issuer, Date.now());
    openssl.write("root.pem", pemOf([root.certificate]));
    openssl.write("issuer.pem", pemOf([issuer.certificate]));
    openssl.write("leaf.pem", pemOf([leaf]));
    for (const purpose of ["sslserver", "sslclient"]) {
      const strict = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root.pem"];
      assert.match(openssl.run(...strict, "-untrusted", "issuer.pem", "leaf.pem"), /leaf\.pem: OK/);
    }
    const text = openssl.run("x509", "-in", "leaf.pem", "-noout", "-text");
    assert.match(text, /Basic Constraints: critical\s+CA:FALSE/);
    assert.match(text, /Key Usage: critical\s+Digital Signature\n/);
    assert.match(text, /TLS Web Server Authentication, TLS Web Client Authentication/);
    assert.match(text, /Subject Alternative Name: \s+URI:spiffe:\/\/east\.mesh\/ns\/shop\/sa\/web\n/);
    assert.match(openssl.run("x509", "-in", "issuer.pem", "-noout", "-text"), /CA:TRUE, pathlen:0/);
    assert.match(openssl.run("x509", "-in", "root.pem", "-noout", "-text"), /URI:spiffe:\/\/east\.mesh\n/);
  });

  it("live as long as their kind, are backdated, and never outlive their issuer", async () => {
    const nowMs = Date.parse("2026-03-01T00:00:00Z");
    const root = await createRoot(east, nowMs);
    const issuer = await createIssuer(east, root, nowMs);
    const { publicKey } = await createKeyPair();
    assert.equal(notAfterMs(root.certificate), nowMs + LIFETIME_MS.root);
    assert.equal(notAfterMs(issuer.certificate), nowMs + LIFETIME_MS.issuer);
    const leaf = createLeaf(ID, publicKey, issuer, nowMs);
    assert.equal(notAfterMs(leaf), nowMs + 24 * 3_600_000);
    assert.equal(notBeforeMs(leaf), nowMs - 5 * 60_000);
    const late = createLeaf(ID, publicKey, issuer, nowMs + LIFETIME_MS.issuer - 1_000);
    assert.equal(notAfterMs(late), notAfterMs(issuer.certificate));
  });

  it("write times from 2050 on as GeneralizedTime", async () => {
    const root = await createRoot(east, Date.parse("2049-12-31T00:00:00Z"));
    assert.equal(new Date(notAfterMs(root.certificate)).getUTCFullYear(), 2059);
  });

  it("have positive serials of 128 random bits", async () => {
    const root = await createRoot(east, Date.now());
    const { publicKey } = await createKeyPair();
    const serials = Array.from({ length: 50 }, () => createLeaf(ID, publicKey, root, Date.now()).serialNumber);
    assert.equal(new Set(serials).size, 50);
    assert.ok(serials.every((serial) => /^[4-7][0-9A-F]{31}$/.test(serial)));
  });

  it("rootFingerprint() is openssl's", async () => {
    const root = await createRoot(east, Date.now());
    openssl.write("pin.pem", pemOf([root.certificate]));
    const theirs = openssl.run("x509", "-in", "pin.pem", "-noout", "-fingerprint", "-sha256");
    const hex = theirs.replace(/^.*=/, "").replaceAll(":", "").trim().toLowerCase();
    assert.equal(rootFingerprint(root.certificate.raw), `sha256:${hex}`);
  });
});
