import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import type { ClientConnection } from "./client-connection.ts";
import { ConnectionPool } from "./connection-pool.ts";

const connection = (): ClientConnection =>
  ({ stream: { closed: false }, idleSinceMs: 0, idleLimitMs: 60_000, drop() {} }) as unknown as ClientConnection;

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("ConnectionPool", () => {
  it("lets few connections be made at a time, and wakes a waiter for each that was made or failed", async () => {
    const pool = new ConnectionPool(new ManualClock(), () => 0);
    const ended: (() => void)[] = [];
    while (pool.mayDial) ended.push(pool.dialBegins());
    assert.equal(ended.length, 8);
    const woken: number[] = [];
    for (let i = 0; i < 3; i++) pool.wait(() => woken.push(i));
    await settled();
    assert.deepEqual(woken, []);
    ended[0]?.();
    ended[0]?.();
    await settled();
    assert.deepEqual(woken, [0]);
    assert.equal(pool.mayDial, true);
  });

  it("wakes a waiter for a connection that is given back, and none that gave up", async () => {
    const pool = new ConnectionPool(new ManualClock(), () => 0);
    while (pool.mayDial) pool.dialBegins();
    const got: (ClientConnection | undefined)[] = [];
    const giveUp = pool.wait(() => assert.fail("it had given up"));
    pool.wait(() => got.push(pool.acquire()));
    giveUp();
    const one = connection();
    pool.add(one);
    pool.release(one);
    await settled();
    assert.deepEqual(got, [one]);
  });

  it("hands out nothing whose carrier takes no more", () => {
    const pool = new ConnectionPool(new ManualClock(), () => 0);
    const [lasting, retiring] = [connection(), connection()];
    for (const one of [lasting, retiring]) {
      pool.add(one);
      pool.release(one);
    }
    Object.assign(retiring.stream, { retiring: true });
    assert.equal(pool.acquire(), lasting);
    Object.assign(lasting.stream, { retiring: true });
    pool.release(lasting);
    assert.equal(pool.idle, 0);
  });

  it("wakes all when the endpoint is gone", async () => {
    const pool = new ConnectionPool(new ManualClock(), () => 0);
    while (pool.mayDial) pool.dialBegins();
    let woken = 0;
    for (let i = 0; i < 20; i++) pool.wait(() => woken++);
    pool.close();
    await settled();
    assert.equal(woken, 20);
  });
});
