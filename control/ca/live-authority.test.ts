import assert from "node:assert/strict";
import { setMaxListeners } from "node:events";
import { ManualClock } from "../../core/clock.ts";
import { CA_NAMESPACE, SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../../core/defaults.ts";
import { defaultTrustDomain, identityOf } from "../../core/identity.ts";
import { silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import { createIssuer, createRoot, LIFETIME_MS } from "../../identity/certificate.ts";
import { type CertificateAuthority, issueLeaf } from "../../identity/certificate-authority.ts";
import { createCsr, parseCsr } from "../../identity/csr.ts";
import { verifyPeer } from "../../identity/peer-verification.ts";
import {
  CONFIG_MAPS,
  type ConfigMap,
  LINKS,
  type Link,
  NAMESPACES,
  SECRETS,
  type Secret,
  TRUST_ROTATIONS,
  type TrustRotation,
} from "../../kube/resources.ts";
import { eventually } from "../../test/support/eventually.ts";
import { FakeKube } from "../../test/support/fake-kube.ts";
import { CA_ROOT_SECRET, CA_SECRET, issuerSecret } from "./ca-secret.ts";
import { LiveAuthority } from "./live-authority.ts";
import { SETTLE_MS } from "./rotation.ts";
import { CA_NEXT_SECRET } from "./rotation-steps.ts";

const DAY_MS = 24 * 3_600_000;

/** A clock that can be set, as a machine's is after a suspend: nobody has to live through the time between. */
class SettableClock extends ManualClock {
  #aheadMs = 0;

  override wallMs(): number {
    return super.wallMs() + this.#aheadMs;
  }

  jump(ms: number): Promise<void> {
    this.#aheadMs += ms;
    return this.advance(61_000);
  }
}

describe("LiveAuthority", () => {
  const trustDomain = defaultTrustDomain("east");
  let kube: FakeKube;
  let clock: SettableClock;
  let stop: AbortController;
  let authority: LiveAuthority;
  beforeEach(async () => {
    clock = new SettableClock();
    kube = new FakeKube(clock);
    stop = new AbortController();
    setMaxListeners(0, stop.signal);
    for (const name of [SYSTEM_NAMESPACE, CA_NAMESPACE])
      kube.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    authority = await start();
  });
  afterEach(async () => {
    stop.abort();
    await authority.ended;
  });

  const start = () => {
    const options = { kube, trustDomain, cluster: "east", clock, random: seededRandom(1), log: silentLog };
    return LiveAuthority.start({ ...options, leafLifetimeMs: LIFETIME_MS.leaf }, stop.signal);
  };
  const secret = (name: string) => kube.get<Secret>(SECRETS, name, CA_NAMESPACE);
  const published = async () =>
    (await kube.get<ConfigMap>(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE))?.data ?? {};
  const status = async (name: string) => (await kube.get<TrustRotation>(TRUST_ROTATIONS, name))?.status ?? {};
  const serial = ({ issuer }: CertificateAuthority) => issuer.certificate.serialNumber;

  function link(cluster: string, acknowledgedBundle?: string): void {
    const base = { apiVersion: "causeway.dev/v1alpha1", kind: "Link", metadata: { name: cluster } };
    const spec = { cluster, trustDomain: `${cluster}.mesh`, gateways: [], rootFingerprint: "", dial: true };
    const link: Link = { ...base, spec: { ...spec, import: true, export: true, secretName: `link-${cluster}` } };
    kube.seed<Link>(LINKS, acknowledgedBundle === undefined ? link : { ...link, status: { acknowledgedBundle } });
  }

  async function rotate(name: string, spec: Partial<TrustRotation["spec"]> = {}): Promise<void> {
    const base = { apiVersion: "causeway.dev/v1alpha1", kind: "TrustRotation", metadata: { name } };
    await kube.create<TrustRotation>(TRUST_ROTATIONS, { ...base, spec: { authority: "Root", ...spec } });
  }

  async function leaf(from: CertificateAuthority) {
    const { csrDer } = await createCsr(identityOf(trustDomain, "shop", "web"));
    return issueLeaf(from, parseCsr(csrDer), clock.wallMs());
  }

  const phase = (name: string, wanted: string) => eventually(async () => (await status(name)).phase === wanted);
  /** Lets time pass until `probe` holds: what is looked at by time alone. */
  const later = (probe: () => Promise<boolean>) =>
    eventually(async () => {
      await clock.advance(1_000);
      return await probe();
    });

  it("renews an issuer past 70 % of its life while it runs, under the same root", async () => {
    const first = authority.current;
    await clock.jump(300 * DAY_MS);
    await eventually(() => serial(authority.current) !== serial(first));
    assert.deepEqual(authority.current.bundle.x509Authorities, first.bundle.x509Authorities);
    assert.equal(authority.current.bundle.sequence, first.bundle.sequence);
  });

  it("signs on when its Secret is deleted or broken, says so, and recovers when it is restored", async () => {
    const good = await secret(CA_SECRET);
    assert.ok(good !== undefined);
    const before = serial(authority.current);
    await kube.delete(SECRETS, CA_SECRET, CA_NAMESPACE);
    await eventually(() => authority.problem?.includes("is gone"));
    assert.equal((await leaf(authority.current)).length, 2);
    kube.seed<Secret>(SECRETS, { ...good, data: { ...good.data, "issuer.key": "bm8=" } });
    await eventually(() => authority.problem?.includes("malformed"));
    assert.equal(serial(authority.current), before);
    kube.seed<Secret>(SECRETS, good);
    await eventually(() => authority.problem === undefined);
    assert.equal(serial(authority.current), before);
  });

  it("publishes again, with a higher sequence, what somebody changed or deleted", async () => {
    const { "root.crt": pem, ...rest } = await published();
    const other = await createRoot(trustDomain, clock.wallMs());
    const map = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: TRUST_CONFIG_MAP, namespace: SYSTEM_NAMESPACE },
    };
    kube.seed<ConfigMap>(CONFIG_MAPS, {
      ...map,
      data: { ...rest, "root.crt": other.certificate.toString(), sequence: "7" },
    });
    await eventually(async () => (await published())["root.crt"] === pem);
    assert.equal((await published())["sequence"], "8");
    kube.unseed(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
    await eventually(async () => (await published())["root.crt"] === pem);
    await eventually(() => authority.current.bundle.sequence >= 8n);
  });

  it("rotates the root: both are believed, then peers acknowledge, then it signs, then the old one goes", async () => {
    const old = authority.current;
    const [oldRoot] = old.bundle.x509Authorities;
    const oldLeaf = await leaf(old);
    link("west", "1");
    await rotate("r1");
    await phase("r1", "Distributed");
    assert.equal(authority.current.bundle.x509Authorities.length, 2);
    assert.equal(serial(authority.current), serial(old));
    assert.deepEqual((await status("r1")).waitingFor, ["west"]);

    await clock.advance(SETTLE_MS + 120_000);
    assert.equal((await status("r1")).phase, "Distributed", "a peer that has not acknowledged holds it up for ever");
    link("west", authority.current.bundle.sequence.toString());
    await later(async () => (await status("r1")).phase === "Active");
    assert.notEqual(serial(authority.current), serial(old));
    const bundles = new Map([[trustDomain, authority.current.bundle]]);
    for (const chain of [oldLeaf, await leaf(authority.current)]) verifyPeer(chain, bundles, clock.wallMs());
    assert.equal(await secret(CA_NEXT_SECRET), undefined);

    await clock.jump(LIFETIME_MS.leaf - 180_000);
    assert.equal(authority.current.bundle.x509Authorities.length, 2, "old certificates are still in use");
    await clock.jump(15 * 60_000);
    await phase("r1", "Retired");
    assert.equal(authority.current.bundle.x509Authorities.length, 1);
    assert.notDeepEqual(authority.current.bundle.x509Authorities[0], oldRoot);
  });

  it("takes the same steps after a restart at any point, and as two replicas at once", async () => {
    const second = await start();
    link("west", "999");
    await rotate("r1");
    await phase("r1", "Distributed");
    const third = await start();
    await later(async () => (await status("r1")).phase === "Active");
    await eventually(() => new Set([authority, second, third].map(({ current }) => serial(current))).size === 1);
    await eventually(
      () => new Set([authority, second, third].map(({ current }) => current.bundle.sequence)).size === 1,
    );
    stop.abort();
    await Promise.all([second.ended, third.ended]);
  });

  it("keeps the old root when control stopped between signing under the new one and saying so", async () => {
    const old = authority.current;
    link("west", "1");
    await rotate("r1");
    await phase("r1", "Distributed");
    stop.abort();
    await authority.ended;
    const next = await secret(CA_NEXT_SECRET);
    const { metadata } = (await secret(CA_SECRET)) ?? {};
    assert.ok(next !== undefined && metadata !== undefined);
    kube.seed<Secret>(SECRETS, { ...next, metadata });
    await kube.delete(SECRETS, CA_NEXT_SECRET, CA_NAMESPACE);
    await clock.jump(LIFETIME_MS.leaf);
    stop = new AbortController();
    authority = await start();
    await phase("r1", "Active");
    const [signing, other] = authority.current.bundle.x509Authorities;
    assert.notDeepEqual(signing, old.bundle.x509Authorities[0]);
    assert.deepEqual(other, old.bundle.x509Authorities[0], "what was issued until now is still believed");
    verifyPeer(await leaf(old), new Map([[trustDomain, authority.current.bundle]]), clock.wallMs());
  });

  it("activates without a peer where that is asked for, and retires at once", async () => {
    link("west", "1");
    await rotate("r1", { activation: "Now" });
    await phase("r1", "Active");
    await kube.mergePatch(TRUST_ROTATIONS, "r1", undefined, { spec: { retirement: "Now" } });
    await phase("r1", "Retired");
    assert.equal(authority.current.bundle.x509Authorities.length, 1);
  });

  it("makes a new issuer at once, under the same root", async () => {
    const old = authority.current;
    await rotate("r1", { authority: "Issuer" });
    await phase("r1", "Retired");
    await eventually(() => serial(authority.current) !== serial(old));
    assert.equal(authority.current.bundle.sequence, old.bundle.sequence);
  });

  it("forgets what was prepared when the rotation is deleted before it is active", async () => {
    const old = authority.current;
    link("west", "1");
    await rotate("r1");
    await phase("r1", "Distributed");
    await kube.delete(TRUST_ROTATIONS, "r1");
    await eventually(async () => (await secret(CA_NEXT_SECRET)) === undefined);
    assert.equal(serial(authority.current), serial(old));
    await clock.jump(LIFETIME_MS.leaf + 15 * 60_000);
    await eventually(() => authority.current.bundle.x509Authorities.length === 1);
    assert.deepEqual(authority.current.bundle.x509Authorities, old.bundle.x509Authorities);
  });

  it("ends a rotation that cannot be done, and says why", async () => {
    await rotate("r1", { secretName: "mine" });
    await phase("r1", "Failed");
    assert.match((await status("r1")).message ?? "", /there is no Secret causeway-ca\/mine/);
  });

  it("treats a Secret with another root as a rotation: published, acknowledged, then used", async () => {
    const old = authority.current;
    const root = await createRoot(trustDomain, clock.wallMs());
    const signer = await createIssuer(trustDomain, root, clock.wallMs());
    link("west", "1");
    const { metadata } = (await secret(CA_SECRET)) ?? { metadata: { name: CA_SECRET } };
    const made = issuerSecret(CA_SECRET, { signer, chain: [signer.certificate], root: root.certificate });
    kube.seed<Secret>(SECRETS, { ...made, metadata });
    await eventually(() => authority.current.bundle.x509Authorities.length === 2);
    assert.equal(serial(authority.current), serial(old));
    link("west", authority.current.bundle.sequence.toString());
    await later(async () => serial(authority.current) === signer.certificate.serialNumber);
    assert.ok((await secret(CA_ROOT_SECRET)) !== undefined);
  });
});
