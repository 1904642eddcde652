import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../core/defaults.ts";
import { hasCode } from "../core/errors.ts";
import { defaultTrustDomain } from "../core/identity.ts";
import { silentLog } from "../core/log.ts";
import { CONFIG_MAPS, type ConfigMap, NAMESPACES, SECRETS, type Secret } from "../kube/resources.ts";
import { FakeKube } from "../test/support/fake-kube.ts";
import { type AuthorityStoreOptions, CA_ROOT_SECRET, CA_SECRET, loadAuthority } from "./authority-store.ts";

const DAY_MS = 24 * 3_600_000;

describe("loadAuthority()", () => {
  let kube: FakeKube;
  let clock: ManualClock;
  let options: AuthorityStoreOptions;
  beforeEach(() => {
    clock = new ManualClock();
    kube = new FakeKube(clock);
    kube.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: SYSTEM_NAMESPACE } });
    options = { kube, trustDomain: defaultTrustDomain("east"), cluster: "east", clock, log: silentLog };
  });

  const secret = (name: string) => kube.get<Secret>(SECRETS, name, SYSTEM_NAMESPACE);
  const unusable = (error: unknown) => hasCode(error, "CA_UNAVAILABLE");

  it("makes a CA, keeps the root's key apart, and publishes the root", async () => {
    const authority = await loadAuthority(options);
    assert.deepEqual(Object.keys((await secret(CA_SECRET))?.data ?? {}).sort(), [
      "issuer.crt",
      "issuer.key",
      "root.crt",
    ]);
    assert.deepEqual(Object.keys((await secret(CA_ROOT_SECRET))?.data ?? {}).sort(), ["root.crt", "root.key"]);
    const published = await kube.get<ConfigMap>(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
    assert.equal(published?.data?.["trustDomain"], "east.mesh");
    assert.equal(published?.data?.["cluster"], "east");
    const rootPem = Buffer.from((await secret(CA_SECRET))?.data?.["root.crt"] ?? "", "base64").toString();
    assert.equal(published?.data?.["root.crt"], rootPem);
    assert.equal(authority.bundle.sequence, 1n);
  });

  it("loads what is there and writes nothing", async () => {
    const first = await loadAuthority(options);
    const writes = kube.writes().length;
    const second = await loadAuthority(options);
    assert.equal(kube.writes().length, writes);
    assert.deepEqual(second.bundle, first.bundle);
    assert.equal(second.issuer.certificate.serialNumber, first.issuer.certificate.serialNumber);
  });

  it("gives several that start at once the same CA", async () => {
    const all = await Promise.all([1, 2, 3].map(() => loadAuthority(options)));
    assert.equal(new Set(all.map(({ issuer }) => issuer.certificate.serialNumber)).size, 1);
    assert.equal(
      new Set(all.map(({ bundle }) => Buffer.from(bundle.x509Authorities[0] ?? []).toString("hex"))).size,
      1,
    );
  });

  it("goes on where one that made it stopped half-way", async () => {
    const first = await loadAuthority(options);
    kube.unseed(SECRETS, CA_SECRET, SYSTEM_NAMESPACE);
    kube.unseed(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
    const second = await loadAuthority(options);
    assert.deepEqual(second.bundle, first.bundle);
    assert.ok(await kube.get(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE));
  });

  it("renews an issuer past 70 % of its life under the same root", async () => {
    const first = await loadAuthority(options);
    await clock.advance(300 * DAY_MS);
    const second = await loadAuthority(options);
    assert.notEqual(second.issuer.certificate.serialNumber, first.issuer.certificate.serialNumber);
    assert.deepEqual(second.bundle, first.bundle);
    assert.equal(
      (await loadAuthority(options)).issuer.certificate.serialNumber,
      second.issuer.certificate.serialNumber,
    );
  });

  it("refuses a CA of another trust domain, a foreign key and a missing one", async () => {
    await loadAuthority(options);
    await assert.rejects(loadAuthority({ ...options, trustDomain: defaultTrustDomain("west") }), unusable);
    const good = await secret(CA_SECRET);
    assert.ok(good !== undefined);
    const key = (await secret(CA_ROOT_SECRET))?.data?.["root.key"] ?? "";
    kube.seed<Secret>(SECRETS, { ...good, data: { ...good.data, "issuer.key": key } });
    await assert.rejects(loadAuthority(options), unusable);
    kube.seed<Secret>(SECRETS, { ...good, data: { "root.crt": good.data?.["root.crt"] ?? "" } });
    await assert.rejects(loadAuthority(options), unusable);
  });

  it("says NOT_INSTALLED without the namespace", async () => {
    const bare = { ...options, kube: new FakeKube(clock) };
    await assert.rejects(loadAuthority(bare), (error) => hasCode(error, "NOT_INSTALLED"));
  });
});
