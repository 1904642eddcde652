import assert from "node:assert/strict";
import { createJoinToken, isJoinSecret, parseJoinToken, readJoinTokenRecord, redeem } from "./join-token.ts";

const NOW = 1_800_000_000_000;
const gateways = [{ host: "10.0.0.1", relayPort: 4143, federationPort: 4180, zone: "" }];
const base = {
  cluster: "east",
  trustDomain: "east.mesh",
  gateways,
  rootFingerprint: `sha256:${"a".repeat(64)}`,
  nowMs: NOW,
};

function made(over: Partial<Parameters<typeof createJoinToken>[0]> = {}) {
  const { text, manifest } = createJoinToken({ ...base, ...over });
  const record = readJoinTokenRecord(manifest);
  assert.ok(record);
  return { text, manifest, record, token: parseJoinToken(text, NOW) };
}

describe("join tokens", () => {
  it("parseJoinToken() reads what createJoinToken() made, and the Secret holds no secret", () => {
    const { token, manifest, record } = made();
    assert.deepEqual(token.gateways, gateways);
    assert.equal(token.expiresAtMs, NOW + 15 * 60_000);
    assert.ok(isJoinSecret(token.secret, record));
    assert.ok(!isJoinSecret("x".repeat(43), record));
    const stored = Buffer.from(manifest.data?.["record"] ?? "", "base64").toString();
    assert.ok(!stored.includes(token.secret));
    assert.equal(manifest.metadata.labels?.["causeway.dev/join-token"], "true");
  });

  it("parseJoinToken() refuses what is damaged, cut off, too long or of another kind as TOKEN_INVALID", () => {
    const { text } = made();
    const object = JSON.parse(Buffer.from(text.slice(6), "base64url").toString());
    const altered = (over: object) =>
      `mesh1.${Buffer.from(JSON.stringify({ ...object, ...over })).toString("base64url")}`;
    const bad = ["", "mesh2.x", text.slice(0, -9), `mesh1.${"a".repeat(9_000)}`, "mesh1.bnVsbA"];
    const fields = [
      { id: "../x" },
      { secret: "s" },
      { cluster: "A B" },
      { gateways: [] },
      { gateways: [{ host: "/", relayPort: 1, federationPort: 1 }] },
    ];
    const more = [
      { rootFingerprint: "md5:1" },
      { expiresAtMs: "soon" },
      { cluster: 7 },
      { gateways: [{ host: "a", relayPort: 0, federationPort: 1 }] },
    ];
    for (const token of [...bad, ...[...fields, ...more].map(altered)]) {
      assert.throws(() => parseJoinToken(token, NOW), { code: "TOKEN_INVALID" }, token.slice(0, 40));
    }
    assert.doesNotThrow(() => parseJoinToken(`  ${text}\n`, NOW));
  });

  it("parseJoinToken() allows for a clock that is minutes ahead, not more", () => {
    const { text } = made({ ttlMs: 1_000 });
    assert.doesNotThrow(() => parseJoinToken(text, NOW + 4 * 60_000));
    assert.throws(() => parseJoinToken(text, NOW + 6 * 60_000), { code: "TOKEN_EXPIRED" });
  });

  it("redeem() lets one cluster in, and again while it is the same", () => {
    const { record } = made();
    const west = { cluster: "west", bundleHash: "w" };
    assert.equal(redeem(record, west, NOW), "first");
    const used = { ...record, usedBy: west };
    assert.equal(redeem(used, west, NOW), "same");
    assert.throws(() => redeem(used, { cluster: "west", bundleHash: "other" }, NOW), { code: "TOKEN_USED" });
    assert.throws(() => redeem(used, { cluster: "north", bundleHash: "w" }, NOW), { code: "TOKEN_USED" });
    assert.throws(() => redeem(used, west, NOW + 16 * 60_000), { code: "TOKEN_EXPIRED" });
    assert.throws(() => redeem(made({ forCluster: "north" }).record, west, NOW), { code: "TOKEN_INVALID" });
  });
});
