import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import type { SyncMessage } from "../../protos/gen/causeway/federation/v1/SyncMessage.ts";
import { memoryPipes, SyncSide } from "../../test/support/sync-pair.ts";
import { LIMITS } from "./limits.ts";
import { gatewayResource, serviceResource } from "./wire.ts";

function service(name: string, port = 80, ports = 1) {
  const all = Array.from({ length: ports }, (_, i) => ({
    name: `p${i}`,
    port: port + i,
    protocol: "TCP" as const,
    appProtocol: "" as const,
  }));
  return serviceResource({
    namespace: "shop",
    name,
    ports: all,
    headless: false,
    clusterIps: [],
    sessionAffinity: false,
    export: { to: "all", clusterset: false, exportedAtMs: 1 },
  });
}

describe("SyncSession", () => {
  let clock: ManualClock;
  let east: SyncSide;
  let west: SyncSide;

  beforeEach(() => {
    clock = new ManualClock();
    east = new SyncSide("east");
    west = new SyncSide("west");
  });

  const open = () => {
    const [a, b] = memoryPipes();
    return { a, b, eastSession: east.open(a, west, clock), westSession: west.open(b, east, clock) };
  };

  /** West is honest; what east sends is up to the test. */
  const against = (messages: SyncMessage[], hello: SyncMessage = { hello: { protocol: 1, cluster: "east" } }) => {
    const [a, b] = memoryPipes();
    const session = west.open(b, east, clock);
    for (const message of [hello, ...messages]) a.send(message);
    return { a, b, session };
  };

  it("sends snapshots both ways, agrees by digest within a second, and measures the round trip", async () => {
    east.offer("KIND_SERVICES", service("web"));
    west.offer("KIND_GATEWAYS", gatewayResource({ host: "10.0.0.1", relayPort: 4143, federationPort: 4180, zone: "" }));
    const { eastSession, westSession } = open();
    await clock.advance(1_000);
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/web"]);
    assert.deepEqual(east.held("KIND_GATEWAYS"), ["10.0.0.1:4180"]);
    assert.deepEqual([eastSession.agreed, westSession.agreed], [true, true]);
    assert.equal(westSession.services, 1);
    assert.ok(east.heartbeats >= 4 && west.heartbeats >= 4);
    assert.ok(east.rtts.length >= 4);
  });

  it("splits a large snapshot into parts under the message limit and never has more than the window unanswered", async () => {
    for (let i = 0; i < 1_000; i++) east.offer("KIND_SERVICES", service(`web-${i}`, 1_000, 60));
    const { a, eastSession } = open();
    await clock.advance(1_000);
    assert.equal(west.held("KIND_SERVICES").length, 1_000);
    const parts = a.sent.filter((message) => message.update?.kind === "KIND_SERVICES");
    assert.ok(parts.length > 4);
    assert.equal(parts.filter((message) => message.update?.more === false).length, 1);
    assert.equal(eastSession.agreed, true);
  });

  it("sends a change, and a removal, as a delta", async () => {
    east.offer("KIND_SERVICES", service("web"));
    east.offer("KIND_SERVICES", service("api"));
    const { a, eastSession } = open();
    await clock.advance(1_000);
    a.sent.length = 0;
    east.offer("KIND_SERVICES", service("web", 81));
    east.offers.get("KIND_SERVICES")?.delete("shop/api");
    eastSession.touch("KIND_SERVICES", ["shop/web", "shop/api"]);
    await clock.advance(50);
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/web"]);
    const updates = a.sent.flatMap((message) => message.update ?? []);
    assert.equal(updates.length, 1);
    assert.equal(updates[0]?.snapshot, false);
  });

  it("keeps silent about kinds whose state is not known for certain, and takes nothing back", async () => {
    east.offer("KIND_SERVICES", service("web"));
    const { eastSession } = open();
    await clock.advance(1_000);
    east.ready = false;
    east.offers.get("KIND_SERVICES")?.clear();
    eastSession.touch("KIND_SERVICES", "all");
    await clock.advance(20_000);
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/web"]);
    east.offer("KIND_SERVICES", service("web"));
    east.ready = true;
    eastSession.touch("KIND_SERVICES", "all");
    await clock.advance(1_000);
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/web"]);
  });

  it("replaces what an earlier stream left by the next one's complete snapshot, not before", async () => {
    east.offer("KIND_SERVICES", service("web"));
    east.offer("KIND_SERVICES", service("old"));
    const first = open();
    await clock.advance(1_000);
    first.a.close();
    first.b.close();
    east.offers.get("KIND_SERVICES")?.delete("shop/old");
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/old", "shop/web"]);
    open();
    await clock.advance(1_000);
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/web"]);
  });

  it("finds a lost update by digest and heals by a snapshot", async () => {
    east.offer("KIND_SERVICES", service("web"));
    const { a, eastSession, westSession } = open();
    await clock.advance(1_000);
    // A delta that says less than the sender believes.
    a.tamper = (message) => {
      if (message.update) message.update.upserts = [];
      return message;
    };
    east.offer("KIND_SERVICES", service("api"));
    eastSession.touch("KIND_SERVICES", ["shop/api"]);
    await clock.advance(100);
    a.tamper = (message) => message;
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/web"]);
    await clock.advance(11_000);
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/api", "shop/web"]);
    assert.deepEqual([eastSession.agreed, westSession.agreed], [true, true]);
  });

  it("goes on when one resource is refused, still agrees, and offers it again later", async () => {
    let refuse = true;
    west.admitting = ({ name }) => {
      if (refuse && name === "shop/bad") throw new Error("no");
    };
    for (const name of ["bad", "web"]) east.offer("KIND_SERVICES", service(name));
    const { eastSession, westSession } = open();
    await clock.advance(1_000);
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/web"]);
    assert.match(west.refused[0] ?? "", /^shop\/bad PROTOCOL_VIOLATION/);
    assert.deepEqual([eastSession.agreed, westSession.agreed], [true, true]);
    refuse = false;
    await clock.advance(30_000);
    assert.deepEqual(west.held("KIND_SERVICES"), ["shop/bad", "shop/web"]);
  });

  it("answers an update only once it is stored", async () => {
    let release = () => {};
    west.gate = new Promise((resolve) => {
      release = resolve;
    });
    east.offer("KIND_SERVICES", service("web"));
    const { b, eastSession } = open();
    await clock.advance(1_000);
    assert.equal(b.sent.filter((message) => message.ack?.kind === "KIND_SERVICES").length, 0);
    assert.equal(eastSession.agreed, false);
    release();
    await clock.advance(100);
    assert.equal(eastSession.agreed, true);
  });

  it("says goodbye with its reason", async () => {
    const { eastSession, westSession } = open();
    await clock.advance(100);
    const gone = eastSession.goodbye("unlinked");
    await clock.advance(1_100);
    await gone;
    assert.deepEqual(await westSession.done, { by: "peer", reason: "unlinked" });
  });

  const ends = async (what: string, messages: SyncMessage[], code: string, hello?: SyncMessage) => {
    const { session } = against(messages, hello);
    await clock.advance(100);
    const end = await session.done;
    assert.equal(end.reason, code, what);
    assert.equal(end.by, "us");
  };

  it("ends a stream whose peer has another protocol, another name, or no manners", async () => {
    await ends("protocol", [], "PROTOCOL_VERSION", { hello: { protocol: 9, cluster: "east" } });
    await ends("name", [], "IDENTITY_UNEXPECTED", { hello: { protocol: 1, cluster: "north" } });
    await ends("no Hello", [], "PROTOCOL_VIOLATION", { heartbeat: { sequence: 1 } });
    await ends("two Hellos", [{ hello: { protocol: 1, cluster: "east" } }], "PROTOCOL_VIOLATION");
    await ends("no kind", [{ update: { revision: 1, nonce: "a", snapshot: true } }], "PROTOCOL_VIOLATION");
    const flood = Array.from({ length: LIMITS.messagesPerSecond + 1 }, () => ({ heartbeat: { sequence: 1 } }));
    await ends("flood", flood, "LIMIT_EXCEEDED");
  });

  it("ends a stream without a Hello after its time", async () => {
    const [, b] = memoryPipes();
    const session = west.open(b, east, clock);
    await clock.advance(7_000);
    assert.equal((await session.done).reason, "PROTOCOL_VIOLATION");
  });

  it("ends a stream that sends on and on without waiting for answers", async () => {
    west.gate = new Promise(() => {});
    const updates = Array.from({ length: LIMITS.window + 5 }, (_, i) => ({
      update: { kind: "KIND_SERVICES" as const, revision: i + 1, nonce: `n${i}`, snapshot: true },
    }));
    await ends("no window", updates, "PROTOCOL_VIOLATION");
  });

  it("ends a stream whose peer never answers", async () => {
    east.offer("KIND_SERVICES", service("web"));
    const [a, b] = memoryPipes();
    const session = east.open(a, west, clock);
    b.send({ hello: { protocol: 1, cluster: "west" } });
    for (let i = 1; i < 20; i++) {
      b.send({ heartbeat: { sequence: i } });
      await clock.advance(4_000);
    }
    assert.equal((await session.done).reason, "STREAM_CLOSED");
  });

  it("ends a stream on which nothing comes any more", async () => {
    const { session } = against([]);
    await clock.advance(12_000);
    assert.equal((await session.done).reason, "STREAM_CLOSED");
  });

  const nacked = async (messages: SyncMessage[]) => {
    const { b, session } = against(messages);
    await clock.advance(100);
    const errors = b.sent.flatMap((message) => (message.ack?.error ? [message.ack.error] : []));
    session.fail(new Error("over") as never);
    return errors;
  };
  const update = (over: object): SyncMessage => ({
    update: { kind: "KIND_SERVICES", revision: 1, nonce: "n", snapshot: true, upserts: [], ...over },
  });

  it("refuses a delta without a snapshot, a lower revision, and a name that is there twice", async () => {
    assert.match((await nacked([update({ snapshot: false })]))[0] ?? "", /no snapshot came before/);
    assert.match((await nacked([update({ revision: 5 }), update({ revision: 4 })]))[0] ?? "", /4 is not above 5/);
    assert.match((await nacked([update({ upserts: [service("a"), service("a")] })]))[0] ?? "", /there twice/);
    assert.match(
      (await nacked([update({ more: true }), update({ snapshot: false, revision: 2 })]))[0] ?? "",
      /complete/,
    );
  });

  it("applies nothing of a snapshot that never ends", async () => {
    const { session } = against([update({ more: true, upserts: [service("a")] })]);
    await clock.advance(1_000);
    assert.deepEqual(west.held("KIND_SERVICES"), []);
    session.fail(new Error("over") as never);
  });

  it("refuses what breaks the rules for names, identities and ports, each by its code", async () => {
    const bad = service("web");
    const endpoint = { id: "a", ready: true, identity: "spiffe://north.mesh/ns/a/sa/b", zone: "", routes: [] };
    const cases: [SyncMessage, RegExp][] = [
      [update({ upserts: [{ ...bad, name: "shop/other" }] }), /NAME_INVALID/],
      [update({ upserts: [service("Web_1")] }), /NAME_INVALID/],
      [update({ upserts: [service("web", 65_536)] }), /NAME_INVALID/],
      [update({ upserts: [service("web", 1, LIMITS.portsPerService + 1)] }), /LIMIT_EXCEEDED/],
      [update({ upserts: [{ name: "shop/web" }] }), /PROTOCOL_VIOLATION/],
      [
        update({
          kind: "KIND_ENDPOINTS",
          upserts: [{ name: "shop/web", endpoints: { namespace: "shop", name: "web", endpoints: [endpoint] } }],
        }),
        /IDENTITY_UNEXPECTED/,
      ],
      [
        update({
          kind: "KIND_BUNDLES",
          upserts: [{ name: "west.mesh", bundle: { trustDomain: "west.mesh", cluster: "west", sequence: 9 } }],
        }),
        /IDENTITY_UNEXPECTED/,
      ],
    ];
    for (const [message, code] of cases) {
      west.refused.length = 0;
      const { b, session } = against([message]);
      await clock.advance(100);
      const refusals = b.sent.flatMap((sent) => sent.ack?.refused ?? []);
      assert.equal(refusals.length, 1);
      assert.match(refusals[0]?.error ?? "", code);
      assert.equal(west.refused.length, 1);
      session.fail(new Error("over") as never);
    }
  });

  const answers = (pipe: { sent: SyncMessage[] }) => pipe.sent.flatMap(({ ack }) => (ack ? [ack] : []));
  /** East lives, and does what `step` says, each 100 ms for `ms`. */
  const live = async (a: { send(message: SyncMessage): void }, ms: number, step = (_at: number) => {}) => {
    for (let at = 0; at < ms; at += 100) {
      a.send({ heartbeat: { sequence: 1, sentAtMs: at } });
      step(at);
      await clock.advance(100);
    }
  };

  it("takes 200 updates a second, however fast they come from who waits for answers", async () => {
    const { a, b, session } = against([update({})]);
    await clock.advance(100);
    let sent = 0;
    // As many under way as the window allows: a peer that is as fast as it may be.
    const fill = () => {
      for (; sent - (answers(b).length - 1) < LIMITS.window; sent++)
        a.send(
          update({ snapshot: false, revision: 10 + sent, nonce: `n${sent}`, upserts: [service("web", 1 + sent)] }),
        );
    };
    for (let at = 0; at < 3_000; at += 2) {
      if (at % 200 === 0) a.send({ heartbeat: { sequence: 1 } });
      fill();
      await clock.advance(2);
    }
    const taken = answers(b).length;
    assert.ok(taken > 600 && taken <= 820, `${taken} in 3 s`);
    assert.ok(session.greeted);
    session.fail(new Error("over") as never);
  });

  it("ends a stream on which every update is refused, and one that answers what was never sent", async () => {
    const nonsense = Array.from({ length: LIMITS.nacksInRow + 1 }, (_, i) => update({ revision: 0, nonce: `n${i}` }));
    const first = against([]);
    for (const message of nonsense) {
      first.a.send(message);
      await clock.advance(1);
    }
    await clock.advance(100);
    assert.match((await first.session.done).error?.message ?? "", /none of its latest updates could be applied/);
    const stray = Array.from({ length: LIMITS.strayAnswers + 1 }, (_, i) => ({ ack: { nonce: `n${i}` } }));
    const second = against(stray);
    await clock.advance(100);
    assert.match((await second.session.done).error?.message ?? "", /answers what was never sent/);
  });

  it("ends a stream whose updates wait for an answer while others are answered that were never sent", async () => {
    east.offer("KIND_SERVICES", service("web"));
    const [a, b] = memoryPipes();
    const session = east.open(a, west, clock);
    b.send({ hello: { protocol: 1, cluster: "west" } });
    await live(b, 40_000, (at) => at % 10_000 === 0 && b.send({ ack: { nonce: "never" } }));
    assert.match((await session.done).error?.message ?? "", /does not answer updates/);
  });

  it("leaves heartbeats out for a peer that does not read, and ends its stream after a while", async () => {
    const { a, b, session } = against([]);
    await clock.advance(1_000);
    b.backlog = LIMITS.backlog;
    const before = b.sent.length;
    await live(a, 5_000);
    assert.ok(b.sent.length - before <= 2, "at most a digest");
    b.backlog = 0;
    await live(a, 1_000);
    assert.ok(b.sent.length - before > 5);
    b.backlog = LIMITS.backlog;
    await live(a, 12_000);
    assert.match((await session.done).error?.message ?? "", /does not read what it is sent/);
  });

  it("ends a stream whose snapshot takes for ever, whether parts come or not", async () => {
    west.ready = false;
    for (const parts of [true, false]) {
      const { a, session } = against([update({ more: true, upserts: [service("a")] })]);
      let n = 0;
      await live(a, LIMITS.snapshotMs + 2_000, (at) => {
        const name = `part-${++n}`;
        if (parts && at % 1_000 === 0) a.send(update({ more: true, nonce: name, upserts: [service(name)] }));
      });
      assert.match((await session.done).error?.message ?? "", /does not end/);
      assert.deepEqual(west.held("KIND_SERVICES"), []);
    }
  });

  it("compares ten digests at once and then one a second, and ends a stream whose digest has many kinds", async () => {
    const digest = { digest: { nonce: "d", kinds: [] } };
    const { b, session } = against(Array.from({ length: 500 }, () => digest));
    await clock.advance(100);
    assert.ok(answers(b).length <= 10);
    session.fail(new Error("over") as never);
    const kinds = Array.from({ length: 17 }, () => ({ kind: "KIND_SERVICES" as const }));
    await ends("kinds", [{ digest: { nonce: "d", kinds } }], "PROTOCOL_VIOLATION");
  });

  it("sends a refused kind again after longer and longer, however often the peer agrees in between", async () => {
    east.offer("KIND_SERVICES", service("web"));
    const [a, b] = memoryPipes();
    east.open(a, west, clock);
    b.send({ hello: { protocol: 1, cluster: "west" } });
    const answered = new Set<string>();
    await live(b, 60_000, () => {
      for (const { update: sent, digest } of a.sent) {
        const nonce = sent?.nonce ?? digest?.nonce ?? "";
        if (nonce === "" || answered.has(nonce)) continue;
        answered.add(nonce);
        const error = sent?.kind === "KIND_SERVICES" ? "PROTOCOL_VIOLATION: no" : "";
        b.send({ ack: { ...(sent ? { kind: sent.kind } : {}), nonce, error } });
      }
    });
    const snapshots = a.sent.filter((message) => message.update?.kind === "KIND_SERVICES");
    assert.ok(snapshots.length >= 4 && snapshots.length <= 9, `${snapshots.length} in a minute`);
  });

  it("says no more of a kind that its peer does not know, and agrees on the others", async () => {
    east.offer("KIND_SERVICES", service("web"));
    const { a, b, eastSession } = open();
    b.tamper = (message) => {
      if (message.ack?.kind === "KIND_ENDPOINTS") message.ack.error = "PROTOCOL_VERSION: west does not know it";
      return message;
    };
    await clock.advance(1_000);
    b.tamper = (message) => message;
    eastSession.touch("KIND_ENDPOINTS", ["shop/web"]);
    await clock.advance(12_000);
    assert.equal(a.sent.filter((message) => message.update?.kind === "KIND_ENDPOINTS").length, 1);
    assert.equal(eastSession.agreed, true);
  });
});
