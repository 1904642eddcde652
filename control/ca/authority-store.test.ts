import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { CA_NAMESPACE, SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../../core/defaults.ts";
import { hasCode } from "../../core/errors.ts";
import { defaultTrustDomain } from "../../core/identity.ts";
import { silentLog } from "../../core/log.ts";
import { createIssuer, createRoot, pemOf } from "../../identity/certificate.ts";
import { CONFIG_MAPS, type ConfigMap, NAMESPACES, SECRETS, type Secret } from "../../kube/resources.ts";
import { FakeKube } from "../../test/support/fake-kube.ts";
import { type AuthorityStoreOptions, authorityOf, loadAuthority as load } from "./authority-store.ts";
import { CA_ROOT_SECRET, CA_SECRET } from "./ca-secret.ts";

const loadAuthority = async (options: AuthorityStoreOptions) => authorityOf(await load(options));

describe("loadAuthority()", () => {
  let kube: FakeKube;
  let clock: ManualClock;
  let options: AuthorityStoreOptions;
  beforeEach(() => {
    clock = new ManualClock();
    kube = new FakeKube(clock);
    for (const name of [SYSTEM_NAMESPACE, CA_NAMESPACE])
      kube.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    options = { kube, trustDomain: defaultTrustDomain("east"), cluster: "east", clock, log: silentLog };
  });

  const secret = (name: string) => kube.get<Secret>(SECRETS, name, CA_NAMESPACE);
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

  it("goes on where one that made it stopped half-way, with a sequence that peers cannot have seen", async () => {
    const first = await loadAuthority(options);
    kube.unseed(SECRETS, CA_SECRET, CA_NAMESPACE);
    kube.unseed(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
    const second = await loadAuthority(options);
    assert.deepEqual(second.bundle.x509Authorities, first.bundle.x509Authorities);
    assert.ok(second.bundle.sequence > first.bundle.sequence);
    assert.ok(await kube.get(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE));
  });

  it("moves a CA of an earlier version out of the gateway's reach", async () => {
    const first = await loadAuthority(options);
    for (const name of [CA_SECRET, CA_ROOT_SECRET]) {
      const at = await secret(name);
      assert.ok(at !== undefined);
      kube.unseed(SECRETS, name, CA_NAMESPACE);
      kube.seed<Secret>(SECRETS, { ...at, metadata: { name, namespace: SYSTEM_NAMESPACE } });
    }
    const second = await loadAuthority(options);
    assert.deepEqual(second.bundle, first.bundle);
    assert.equal(second.issuer.certificate.serialNumber, first.issuer.certificate.serialNumber);
    assert.equal(await kube.get(SECRETS, CA_SECRET, SYSTEM_NAMESPACE), undefined);
    assert.ok((await secret(CA_ROOT_SECRET)) !== undefined);
  });

  it("takes an issuer as cert-manager stores it, with what lies between it and the root", async () => {
    const { trustDomain } = options;
    const nowMs = clock.wallMs();
    const root = await createRoot(trustDomain, nowMs);
    const issuer = await createIssuer(trustDomain, root, nowMs);
    const data = {
      "ca.crt": pemOf([root.certificate]),
      "tls.crt": pemOf([issuer.certificate, root.certificate]),
      "tls.key": issuer.privateKey.export({ type: "sec1", format: "pem" }).toString(),
    };
    kube.seed<Secret>(SECRETS, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: CA_SECRET, namespace: CA_NAMESPACE },
      type: "kubernetes.io/tls",
      data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")])),
    });
    const loaded = await loadAuthority(options);
    assert.equal(loaded.issuer.certificate.serialNumber, issuer.certificate.serialNumber);
    assert.deepEqual(
      loaded.chain.map(({ serialNumber }) => serialNumber),
      [issuer.certificate.serialNumber],
    );
    assert.deepEqual(loaded.bundle.x509Authorities, [new Uint8Array(root.certificate.raw)]);
    assert.equal(await secret(CA_ROOT_SECRET), undefined);
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
