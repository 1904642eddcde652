import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect, createSecureContext, type TLSSocket } from "node:tls";
import { systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { eventually } from "../test/support/eventually.ts";
import { createTestMesh, type TestMesh, type TestWorkload } from "../test/support/mesh-identity.ts";
import type { GateLimits } from "./connection-gate.ts";
import { type GrpcListener, listenGrpc } from "./grpc-server.ts";

const WIDE: GateLimits = {
  unproven: 100,
  unprovenPerAddress: 100,
  unprovenBurst: 1_000,
  unprovenPerSecond: 1_000,
  anonymousBytes: 65_536,
  perIdentity: 100,
  identityBurst: 1_000,
  identityPerSecond: 1_000,
  overheadBurst: 65_536,
  overheadPerSecond: 1_024,
};
const HEADS = {
  PING: [0, 0, 8, 6, 0, 0, 0, 0, 0],
  SETTINGS: [0, 0, 0, 4, 0, 0, 0, 0, 0],
  WINDOW_UPDATE: [0, 0, 4, 8, 0, 0, 0, 0, 0],
};
const BODIES = { PING: 8, SETTINGS: 0, WINDOW_UPDATE: 4 };

function flood(kind: keyof typeof HEADS, count: number): Buffer {
  const body = Buffer.alloc(BODIES[kind]);
  if (kind === "WINDOW_UPDATE") body[3] = 1;
  const frame = Buffer.concat([Buffer.from(HEADS[kind]), body]);
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Buffer.from(HEADS.SETTINGS),
    ...new Array<Buffer>(count).fill(frame),
  ]);
}

describe("ConnectionGate, in front of listenGrpc()", () => {
  let east: TestMesh;
  let west: TestMesh;
  let control: TestWorkload;
  let caller: TestWorkload;
  let stop: AbortController;
  let undo: (() => unknown)[];
  let refused: string[];

  before(async () => {
    [east, west] = await Promise.all([createTestMesh("east", Date.now()), createTestMesh("west", Date.now())]);
  });

  beforeEach(async () => {
    stop = new AbortController();
    undo = [];
    refused = [];
    const { signal } = stop;
    control = await east.workload(east.identity("system", "control"), [west.authority.bundle], systemClock, signal);
    caller = await west.workload(west.identity("shop", "web"), [east.authority.bundle], systemClock, signal);
  });

  afterEach(async () => {
    for (const run of undo.reverse()) await run();
    stop.abort();
  });

  async function listen(limits: Partial<GateLimits>): Promise<GrpcListener> {
    const listener = await listenGrpc({
      ...{ host: "127.0.0.1", port: 0, source: control.source, trust: control.trust, clock: systemClock },
      log: silentLog,
      services() {},
      anonymousMethods: ["/a/b"],
      gate: { limits: { ...WIDE, ...limits }, onRefused: (reason) => refused.push(reason), sizeOf: () => 0 },
    });
    undo.push(() => listener.close(0));
    return listener;
  }

  function kept<T extends Socket>(socket: T): T {
    socket.on("error", () => {}).resume();
    undo.push(() => socket.destroy());
    return socket;
  }

  /** However it ends. */
  const closed = (socket: Socket) => new Promise<void>((resolve) => socket.once("close", () => resolve()));

  const idle = ({ port }: GrpcListener) => kept(connectTcp(port, "127.0.0.1"));
  const secure = ({ port }: GrpcListener, withCertificate = true): TLSSocket => {
    const { cert: _cert, key: _key, ...anonymous } = caller.tls.clientTlsOptions(east.authority.trustDomain);
    const own = caller.tls.clientTlsOptions(east.authority.trustDomain);
    const secureContext = createSecureContext(withCertificate ? own : anonymous);
    const dialled = { host: "127.0.0.1", port, ALPNProtocols: ["h2"], checkServerIdentity: () => undefined };
    return kept(connect({ ...dialled, secureContext }));
  };
  /** The server speaks first: its SETTINGS say that it took the connection. */
  const taken = async (listener: GrpcListener) => {
    const socket = secure(listener);
    await once(socket, "secureConnect");
    socket.write(flood("PING", 0));
    await once(socket, "data");
    return socket;
  };

  it("drops connections of one address over its number, until one of them goes", async () => {
    const listener = await listen({ unprovenPerAddress: 3 });
    const [first] = [idle(listener), idle(listener), idle(listener)];
    await eventually(() => first.readyState === "open");
    await closed(secure(listener));
    assert.deepEqual(refused, ["address_limit"]);
    first.destroy();
    await eventually(() => taken(listener));
  });

  it("makes room for a newcomer at the expense of who has idled longest", async () => {
    const listener = await listen({ unproven: 2 });
    const first = idle(listener);
    await once(first, "connect");
    const second = idle(listener);
    await once(second, "connect");
    await Promise.all([closed(first), taken(listener)]);
    assert.deepEqual(refused, ["unproven_limit"]);
    assert.equal(second.destroyed, false);
  });

  it("slows an address whose connections never prove anything, and not one whose connections do", async () => {
    const listener = await listen({ unprovenBurst: 3, unprovenPerSecond: 0.001 });
    for (let i = 0; i < 6; i++) (await taken(listener)).destroy();
    for (let i = 0; i < 3; i++) {
      const socket = secure(listener, false);
      await once(socket, "secureConnect");
      socket.destroy();
    }
    await closed(idle(listener));
    assert.deepEqual(refused, ["address_rate"]);
  });

  it("drops connections of one identity over its number and its rate", async () => {
    const few = await listen({ perIdentity: 2 });
    await Promise.all([taken(few), taken(few)]);
    await closed(secure(few));
    const slow = await listen({ identityBurst: 2, identityPerSecond: 0.001 });
    for (let i = 0; i < 2; i++) (await taken(slow)).destroy();
    await closed(secure(slow));
    assert.deepEqual(refused, ["identity_limit", "identity_rate"]);
  });

  for (const kind of ["PING", "SETTINGS", "WINDOW_UPDATE"] as const) {
    it(`drops a linked peer that floods it with ${kind}, and one without a certificate that sends too much`, async () => {
      const listener = await listen({});
      for (const withCertificate of [true, false]) {
        const socket = secure(listener, withCertificate);
        await once(socket, "secureConnect");
        socket.write(flood(kind, 10_000));
        await closed(socket);
      }
      // HTTP/2 itself may have had enough before.
      for (const reason of refused) assert.match(reason, /^(overhead|anonymous_bytes)$/);
      if (kind === "WINDOW_UPDATE") assert.deepEqual(refused, ["overhead", "anonymous_bytes"]);
      await taken(listener);
    });
  }

  it("lets a call's connection be that proves itself and says nothing out of the way", async () => {
    const listener = await listen({});
    const socket = await taken(listener);
    await new Promise<void>((resolve) => systemClock.after(600, resolve));
    assert.equal(socket.destroyed, false);
    assert.deepEqual(refused, []);
  });
});
