import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { hasCode, MeshError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { eventually } from "../test/support/eventually.ts";
import { createTestMesh, type TestMesh } from "../test/support/mesh-identity.ts";
import { certifyLocally } from "./certificate-authority.ts";
import { type Certify, type SvidSourceOptions, startSvidSource } from "./svid-source.ts";
import { TrustStore } from "./trust-store.ts";

const HOUR_MS = 3_600_000;

describe("startSvidSource()", () => {
  let clock: ManualClock;
  let stop: AbortController;
  let east: TestMesh;
  let calls: number;
  beforeEach(async () => {
    clock = new ManualClock();
    stop = new AbortController();
    east = await createTestMesh("east", clock.wallMs());
    calls = 0;
  });
  afterEach(() => stop.abort());

  function options(certify: Certify): SvidSourceOptions {
    const counted: Certify = (csr) => {
      calls++;
      return certify(csr);
    };
    const identity = east.identity("shop", "web");
    return { identity, certify: counted, trust: new TrustStore(), clock, random: seededRandom(7), log: silentLog };
  }

  /** Renewal makes a key off the event loop, which no clock waits for: time passes until `reached`. */
  async function passUntil(stepMs: number, reached: () => boolean): Promise<void> {
    await eventually(async () => {
      if (reached()) return true;
      await clock.advance(stepMs);
      return reached();
    });
  }

  it("renews with a new key between 65 and 75 % of the life, and tells", async () => {
    const source = await startSvidSource(options(certifyLocally(() => east.authority, clock)), stop.signal);
    const first = source.svid;
    const lifeMs = first.notAfterMs - first.notBeforeMs;
    await clock.advance(first.notBeforeMs + 0.65 * lifeMs - clock.wallMs() - 1);
    assert.equal(calls, 1);
    const seen: unknown[] = [];
    source.onChange((svid) => seen.push(svid));
    await clock.advance(0.1 * lifeMs + 1);
    await eventually(() => seen.length === 1);
    assert.equal(calls, 2);
    assert.equal(seen[0], source.svid);
    assert.notEqual(source.svid.chain[0]?.serialNumber, first.chain[0]?.serialNumber);
    assert.ok(!source.svid.privateKey.equals(first.privateKey));
  });

  /** Its issuer is under a new root, of which the bundle has `roots` as they are, and the new one first. */
  async function rotated(roots: readonly Uint8Array[], sequence: bigint) {
    const { authority, root } = await createTestMesh("east", clock.wallMs());
    const x509Authorities = [new Uint8Array(root.certificate.raw), ...roots];
    return { ...authority, bundle: { ...authority.bundle, sequence, x509Authorities } };
  }

  it("renews within an hour after another root has begun to sign, and at once where its own is believed no more", async () => {
    let { authority } = east;
    const all = options((csr) => certifyLocally(() => authority, clock)(csr));
    const source = await startSvidSource(all, stop.signal);
    const first = source.svid;
    authority = await rotated(authority.bundle.x509Authorities, 2n);
    all.trust.set(authority.bundle);
    await clock.advance(0);
    assert.equal(source.svid, first);
    await clock.advance(HOUR_MS);
    await eventually(() => source.svid !== first);
    assert.equal(calls, 2);
    const second = source.svid;
    authority = await rotated([], 3n);
    all.trust.set(authority.bundle);
    await eventually(() => source.svid !== second);
    assert.equal(calls, 3);
  });

  it("serves the old one while renewal fails, and goes on trying past its end", async () => {
    let broken = false;
    const good = certifyLocally(() => east.authority, clock);
    const source = await startSvidSource(
      options(async (csr) => {
        if (broken) throw new MeshError("CA_UNAVAILABLE", "Cannot sign: away.");
        return await good(csr);
      }),
      stop.signal,
    );
    const first = source.svid;
    broken = true;
    await passUntil(10 * 60_000, () => clock.wallMs() > first.notAfterMs + HOUR_MS && calls > 3);
    assert.equal(source.svid, first);
    broken = false;
    await passUntil(60_000, () => source.svid !== first);
    assert.ok(source.svid.notAfterMs > clock.wallMs());
  });

  it("waits for the first for as long as it takes", async () => {
    let left = 3;
    const good = certifyLocally(() => east.authority, clock);
    const starting = startSvidSource(
      options((csr) => (--left > 0 ? Promise.reject(new Error("refused")) : good(csr))),
      stop.signal,
    );
    let started = false;
    const done = starting.then(() => {
      started = true;
    });
    await passUntil(1_000, () => started);
    await done;
    assert.equal(calls, 3);
  });

  it("refuses a certificate for another key, for another identity, and of a CA it does not believe", async () => {
    const good = certifyLocally(() => east.authority, clock);
    const impostor = await createTestMesh("east", clock.wallMs());
    const other = await east.workload(east.identity("shop", "admin"), [], clock, stop.signal);
    const answers: Certify[] = [
      async (csr) => ({ ...(await certifyLocally(() => impostor.authority, clock)(csr)), bundles: [] }),
      async () => ({ chain: other.source.svid.chain, notAfterMs: 0, bundles: [] }),
      good,
    ];
    const all = { ...options((csr) => (answers.shift() ?? good)(csr)), trust: new TrustStore([east.authority.bundle]) };
    let source: Awaited<ReturnType<typeof startSvidSource>> | undefined;
    const started = startSvidSource(all, stop.signal).then((it) => {
      source = it;
    });
    await passUntil(1_000, () => source !== undefined);
    await started;
    assert.equal(calls, 3);
    assert.equal(source?.svid.identity, all.identity);
  });

  it("ends with its signal", async () => {
    const never = startSvidSource(
      options(() => Promise.reject(new Error("away"))),
      stop.signal,
    );
    const source = await startSvidSource(options(certifyLocally(() => east.authority, clock)), stop.signal);
    stop.abort();
    await source.done;
    await assert.rejects(never, (error) => hasCode(error, "ABORTED"));
  });
});
