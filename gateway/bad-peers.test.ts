import assert from "node:assert/strict";
import { sleep, systemClock } from "../core/clock.ts";
import { createLog, silentLog } from "../core/log.ts";
import { LINKS, type Link } from "../kube/resources.ts";
import type { Resource } from "../protos/gen/causeway/federation/v1/Resource.ts";
import { PEER_ENDPOINTS, PEER_LINKS, PEER_SERVICES } from "../registry/state.ts";
import { eventually } from "../test/support/eventually.ts";
import { GatewayWorld } from "../test/support/gateway-world.ts";
import { createTestMesh } from "../test/support/mesh-identity.ts";
import { ScriptedPeer, wireOf } from "../test/support/scripted-peer.ts";
import { LIMITS } from "./federation/limits.ts";

const log = process.env["CAUSEWAY_TEST_LOG"] ? createLog("test", "debug") : silentLog;
/** Of the whole test process, attackers included: far under what any of the floods would take unbounded. */
const MAX_GROWTH_BYTES = 300 * 1024 * 1024;

function service(name: string, over: Resource["service"] & object = {}): Resource {
  const ports = [{ name: "http", port: 80, protocol: "TCP" }];
  return { name: `shop/${name}`, service: { namespace: "shop", name, ports, exportedAtMs: 1, ...over } };
}

function endpoints(name: string, over: object = {}): Resource {
  const endpoint = {
    id: "a",
    ready: true,
    identity: "spiffe://north.mesh/ns/shop/sa/web",
    routes: [{ servicePort: 80, targetPort: 8080, routeName: `${"a".repeat(26)}.north.mesh` }],
    ...over,
  };
  return { name: `shop/${name}`, endpoints: { namespace: "shop", name, endpoints: [endpoint] } };
}

/** East is linked to west, which means well, and to north, whose gateway is a script under north's real identity. */
describe("a gateway with a peer that misbehaves", function () {
  this.timeout(60_000);
  let east: GatewayWorld;
  let west: GatewayWorld;
  let north: GatewayWorld;
  let peers: ScriptedPeer[];
  let served = 0;
  let rss = 0;
  /** Health of the good link as either side saw it. */
  const healths = new Set<string>();
  let watching: NodeJS.Timeout;

  before(async () => {
    const create = (name: string) => GatewayWorld.create(name, log);
    [east, west, north] = await Promise.all([create("east"), create("west"), create("north")]);
    await Promise.all([east.start(), west.start(), north.start()]);
    for (const world of [west, north]) {
      await world.link(east, await east.token());
      await eventually(async () => (await east.phase(world.cluster)) === "active");
    }
    await north.stop();
    watching = setInterval(() => {
      for (const [world, peer] of [
        [east, "west"],
        [west, "east"],
      ] as const)
        void world.value(PEER_LINKS, peer).then((state) => healths.add(state?.health ?? "none"));
    }, 50);
  });

  after(async () => {
    clearInterval(watching);
    await Promise.all([east.close(), west.close(), north.close()]);
  });

  beforeEach(() => {
    peers = [];
    healths.clear();
    rss = process.memoryUsage.rss();
  });

  afterEach(async () => {
    for (const peer of peers) peer.close();
    // The good link goes on: a change made now arrives, and neither side has called the other dead.
    const name = `web-${++served}`;
    await east.serve("shop", name, ["west"], ["10.1.0.1"]);
    await eventually(() => west.value(PEER_ENDPOINTS, "east", "shop", name));
    assert.equal((await west.value(PEER_LINKS, "east"))?.active, true);
    assert.ok(!healths.has("dead"), [...healths].join());
    const growth = process.memoryUsage.rss() - rss;
    assert.ok(growth < MAX_GROWTH_BYTES, `${Math.round(growth / 1_048_576)} MiB more`);
  });

  const greet = async (): Promise<ScriptedPeer> => {
    // Whoever was cut off a moment ago is taken again by itself.
    const peer = await eventually(async () => {
      const next = new ScriptedPeer(north, east);
      next.send({ hello: { protocol: 1, cluster: "north", wantsImport: true, offersExport: true } });
      await eventually(() => next.ended !== undefined || next.received.some(({ hello }) => hello));
      if (next.ended === undefined) return next;
      next.close();
      // As a gateway would, which does not ask again at once.
      await sleep(systemClock, 200, new AbortController().signal);
      return undefined;
    }, 30_000);
    peers.push(peer);
    return peer;
  };
  const accepted = () => east.condition("north", "Accepted");
  const held = async () =>
    (await east.keys(`${PEER_SERVICES.prefix}north/`)).map((key) => key.split("/").at(-1)).sort();

  it("refuses resources by name and code, keeps the last good of them, and says so until they are good again", async () => {
    const peer = await greet();
    await peer.update({ snapshot: true, upserts: [service("web"), service("api")] });
    assert.deepEqual(await held(), ["api", "web"]);
    const huge = "x".repeat(10_000);
    const bad: [Resource, string][] = [
      [service("web", { ports: [{ name: "http", port: 65_536, protocol: "TCP" }] }), "NAME_INVALID"],
      [service("web", { ports: [{ name: "http", port: 4_294_967_295, protocol: "TCP" }] }), "NAME_INVALID"],
      [service("web", { ports: [{ name: "__proto__", port: 80, protocol: "TCP" }] }), "NAME_INVALID"],
      [service("web", { exportedAtMs: "9007199254740993" }), "NAME_INVALID"],
      [service("web", { exportedAtMs: "-1" }), "NAME_INVALID"],
      [service("web", { settings: { retryLimit: 4_294_967_295 } }), "LIMIT_EXCEEDED"],
      [service("__proto__"), "NAME_INVALID"],
      [service("constructor", { name: "other" }), "NAME_INVALID"],
      [service(huge), "NAME_INVALID"],
      [{ name: "\u001b[2J\u0000", service: { namespace: "shop", name: "web" } }, "NAME_INVALID"],
      [{ name: "shop/web" }, "PROTOCOL_VIOLATION"],
    ];
    for (const [resource, code] of bad) {
      const { error, refused } = await peer.update({ upserts: [resource] });
      assert.equal(error, "");
      assert.match(refused[0]?.error ?? "", new RegExp(`^${code}: Cannot `), JSON.stringify(resource).slice(0, 100));
    }
    const foreign: [Resource, string][] = [
      [endpoints("web", { identity: "spiffe://west.mesh/ns/shop/sa/web" }), "IDENTITY_UNEXPECTED"],
      [
        endpoints("web", { routes: [{ servicePort: 80, targetPort: 80, routeName: `${"a".repeat(26)}.west.mesh` }] }),
        "NAME_INVALID",
      ],
      [endpoints("web", { id: "" }), "NAME_INVALID"],
    ];
    for (const [resource, code] of foreign) {
      const { refused } = await peer.update({ kind: "KIND_ENDPOINTS", snapshot: true, upserts: [resource] });
      assert.match(refused[0]?.error ?? "", new RegExp(`^${code}: `));
    }
    const bundle = { trustDomain: "west.mesh", cluster: "west", sequence: 99, x509Authorities: [] };
    const spoken = await peer.update({
      kind: "KIND_BUNDLES",
      snapshot: true,
      upserts: [{ name: "west.mesh", bundle }],
    });
    assert.match(spoken.refused[0]?.error ?? "", /^IDENTITY_UNEXPECTED: .*may only send its own/);
    const { bundle: known } = north.mesh.authority;
    const anew = await createTestMesh("north", systemClock.wallMs());
    const roots = (x509Authorities: readonly Uint8Array[]) => x509Authorities.map((der) => Buffer.from(der));
    for (const [sequence, of, code] of [
      [99, anew.authority.bundle, "CERTIFICATE_UNTRUSTED"],
      [0, known, "BUNDLE_STALE"],
      [Number(known.sequence), anew.authority.bundle, "BUNDLE_STALE"],
    ] as const) {
      const changed = {
        trustDomain: "north.mesh",
        cluster: "north",
        sequence,
        x509Authorities: roots(of.x509Authorities),
      };
      const upserts = [{ name: "north.mesh", bundle: changed }];
      const { refused } = await peer.update({ kind: "KIND_BUNDLES", snapshot: true, upserts });
      assert.match(refused[0]?.error ?? "", new RegExp(`^${code}: `));
    }
    assert.deepEqual(await held(), ["api", "web"], "the last good one stays");
    const shown = await eventually(async () => {
      const condition = await accepted();
      return condition?.reason === "BundleStale" && condition;
    });
    assert.equal(shown.status, "False");
    assert.match(shown.message, /shop\/web: PROTOCOL_VIOLATION/);
    assert.ok(!/[^\x20-\x7e]/.test(shown.message), "nothing of it moves a terminal's cursor");
    assert.match(
      east.gateway?.metricsText() ?? "",
      /federation_refusals_total\{link="north",kind="KIND_SERVICES",code="NAME_INVALID"\} \d+/,
    );
    // Good again, so nothing is refused any more.
    for (const kind of ["KIND_ENDPOINTS", "KIND_BUNDLES"] as const) await peer.update({ kind, snapshot: true });
    const { refused } = await peer.update({ snapshot: true, upserts: [service("web"), service("api")] });
    assert.deepEqual(refused, []);
    await eventually(async () => (await accepted())?.status === "True");
  });

  it("answers updates that make no sense with a NACK and applies nothing of them", async () => {
    const peer = await greet();
    assert.match((await peer.update({ upserts: [service("web")] })).error, /^PROTOCOL_VIOLATION: .*no snapshot came/);
    await peer.update({ snapshot: true, upserts: [service("web")] });
    const { revision } = peer;
    for (const stale of [0, 1, revision]) {
      const upserts = [service("other")];
      assert.match((await peer.update({ revision: stale, upserts })).error, /is not above/, "a delta");
      assert.match(
        (await peer.update({ revision: stale, snapshot: true, upserts })).error,
        /is not above/,
        "a snapshot",
      );
    }
    assert.match((await peer.update({ upserts: [service("a"), service("a")] })).error, /there twice/);
    const names = Array.from({ length: LIMITS.updateNames + 1 }, (_, i) => `shop/never-${i}`);
    assert.match((await peer.update({ removes: names })).error, /^LIMIT_EXCEEDED: /);
    assert.equal((await peer.update({ removes: names.slice(0, 1_000) })).error, "", "never there, and no harm");
    assert.deepEqual(await held(), ["web"]);
    // One refused part spoils the snapshot: its last part alone would take all else away.
    const spoilt = { revision: 500, snapshot: true };
    await peer.update({ ...spoilt, more: true, removes: ["shop/web"] });
    assert.match((await peer.update(spoilt)).error, /a part of the snapshot of 500 was refused/);
    assert.deepEqual(await held(), ["web"]);
    // Of a later version: the kind is declined, unknown fields do no harm, and known kinds go on.
    const later = 9 as unknown as "KIND_SERVICES";
    assert.match(
      (await peer.update({ kind: later, snapshot: true })).error,
      /^PROTOCOL_VERSION: east does not know it/,
    );
    const unknownField = Buffer.from([0xfa, 0x3e, 3, 1, 2, 3]);
    peer.raw(Buffer.concat([wireOf({ heartbeat: { sequence: 7 } }), unknownField]));
    peer.raw(unknownField);
    const { error } = await peer.update({ revision: 600, snapshot: true, upserts: [service("web"), service("new")] });
    assert.equal(error, "");
    assert.deepEqual(await held(), ["new", "web"]);
    peer.send({ digest: { nonce: "d", kinds: [{ kind: later, count: 1 }] } });
    assert.equal((await peer.answerTo("d")).error, "", "nothing can be said of a kind that only the peer knows");
  });

  it("uses nothing of a snapshot that does not end, however much of it comes", async () => {
    const peer = await greet();
    await peer.update({ snapshot: true, upserts: [service("web")] });
    const ports = Array.from({ length: 100 }, (_, i) => ({
      name: `p${i}${"x".repeat(58)}`.slice(0, 63),
      port: 1_000 + i,
      protocol: "TCP",
    }));
    const big = Array.from({ length: 40 }, (_, i) => service(`big-${i}`, { ports }));
    let refusals = 0;
    for (let part = 0; part < 10; part++) {
      const named = big.map((resource, i) => ({
        ...resource,
        name: `shop/b-${part}-${i}`,
        service: { ...resource.service, name: `b-${part}-${i}` },
      }));
      const { error, refused } = await peer.update({ revision: 1_000, snapshot: true, more: true, upserts: named });
      assert.equal(error, "");
      refusals += refused.length;
    }
    assert.equal(refusals, 0, "4 MB of services are well within");
    assert.deepEqual(await held(), ["web"]);
  });

  it("takes updates as fast as is good for the others, whose changes arrive meanwhile", async () => {
    const peer = await greet();
    await peer.update({ snapshot: true });
    let over = false;
    let answered = 0;
    const upserts = Array.from({ length: 50 }, (_, i) => service(`flood-${i}`));
    const one = async () => {
      while (!over) {
        // Each is a change, so that each is written.
        for (const { service: value } of upserts) if (value) value.exportedAtMs = ++answered;
        await peer.update({ upserts });
      }
    };
    const beganMs = systemClock.nowMs();
    const before = peer.revision;
    const flood = Array.from({ length: 4 }, one);
    for (let i = 0; i < 10; i++) {
      const name = `meanwhile-${i}`;
      await east.serve("shop", name, ["west"], ["10.1.0.1"]);
      await eventually(() => west.value(PEER_ENDPOINTS, "east", "shop", name), 5_000);
    }
    over = true;
    await Promise.all(flood);
    const seconds = (systemClock.nowMs() - beganMs) / 1_000;
    const taken = peer.revision - before;
    assert.ok(taken <= LIMITS.updatesPerSecond * (seconds + 1) + LIMITS.window, `${taken} in ${seconds} s`);
    assert.equal(peer.ended, undefined);
  });

  it("cuts a stream that sends what is no message, then takes the peer again by itself", async () => {
    const before = east.gateway?.metricsText() ?? "";
    assert.ok(!before.includes('reason="PROTOCOL_VIOLATION"'));
    const peer = await greet();
    await peer.update({ snapshot: true, upserts: [service("web")] });
    peer.raw(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    assert.equal(await peer.cut(), "PROTOCOL_VIOLATION");
    const shown = await eventually(async () => {
      const condition = await accepted();
      return condition?.reason === "ProtocolViolation" && condition;
    });
    assert.match(shown.message, /stream was cut and is not taken for 1 s.*stays in use. Look at the peer's gateway/);
    const at = new ScriptedPeer(north, east);
    peers.push(at);
    assert.equal(await at.cut(), "LIMIT_EXCEEDED", "not at once");
    assert.deepEqual(await held(), ["web"]);
    assert.match(
      east.gateway?.metricsText() ?? "",
      /federation_streams_ended_total\{link="north",by="us",reason="PROTOCOL_VIOLATION"\} 1/,
    );
    const again = await greet();
    await again.update({ snapshot: true, upserts: [service("web")] });
    again.send({ digest: { nonce: "d", kinds: [] } });
    await again.answerTo("d");
    await eventually(async () => (await accepted())?.status === "True");
  });

  it("cuts a stream whose small message would become a hundred thousand objects, and one that is too large", async () => {
    const peer = await greet();
    const bomb = Buffer.alloc(400_000);
    for (let i = 0; i < bomb.length; i += 2) bomb[i] = 0x32;
    const length = [(bomb.length & 127) | 128, ((bomb.length >> 7) & 127) | 128, bomb.length >> 14];
    peer.raw(Buffer.concat([Buffer.from([0x12, ...length]), bomb]));
    assert.equal(await peer.cut(), "LIMIT_EXCEEDED");
    const next = await greet();
    next.raw(wireOf({ goodbye: { reason: "x".repeat(LIMITS.messageBytes) } }));
    assert.equal(await next.cut(), "LIMIT_EXCEEDED");
  });

  it("refuses streams and connections that are opened faster than anybody has to", async () => {
    await greet();
    const storm = Array.from({ length: 40 }, () => new ScriptedPeer(north, east));
    peers.push(...storm);
    await eventually(() => storm.filter(({ ended }) => ended !== undefined).length >= 20);
    const text = east.gateway?.metricsText() ?? "";
    assert.match(text, /federation_connections_refused_total\{reason="identity_(limit|rate)"\} \d+/);
    assert.match(text, /federation_streams_refused_total\{code="LIMIT_EXCEEDED"\} \d+/);
  });

  it("lets the peer's Link be deleted, counters and all", async () => {
    await east.kube.delete(LINKS, "north");
    await eventually(async () => (await east.kube.get<Link>(LINKS, "north")) === undefined);
    assert.deepEqual(await held(), []);
    await eventually(() => !(east.gateway?.metricsText() ?? "").includes('link="north"'));
  });
});
