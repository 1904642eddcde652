import assert from "node:assert/strict";
import { createBreaker, fail } from "../resilience/breaker.ts";
import type { Http2ClientConnection, Http2Path } from "./client-connection.ts";
import { Http2Pool } from "./http2-pool.ts";

describe("Http2Pool.acquire()", () => {
  /** What the pool looks at. */
  const connection = (path: Http2Path | undefined, streams: number, room = 10) =>
    ({ path, room, streams: { size: streams }, draining: false }) as unknown as Http2ClientConnection;
  const path = () => ({ breaker: createBreaker() });
  const poolOf = (...connections: Http2ClientConnection[]) => {
    const pool = new Http2Pool();
    for (const each of connections) pool.add(each);
    return pool;
  };

  it("is the first with room where all go the same way: few connections are cheaper", () => {
    const full = connection(undefined, 5, 0);
    const [busy, idle] = [connection(undefined, 3), connection(undefined, 0)];
    assert.equal(poolOf(full, busy, idle).acquire(), busy);
    const way = path();
    const [first, second] = [connection(way, 3), connection(way, 0)];
    assert.equal(poolOf(first, second).acquire(), first);
    assert.equal(poolOf(full).acquire(), undefined);
  });

  it("is that through the gateway with fewer streams, so that one that came back gets its share", () => {
    const [old, back] = [connection(path(), 3), connection(path(), 0)];
    assert.equal(poolOf(old, back).acquire(), back);
    assert.equal(poolOf(back, old).acquire(), back);
  });

  it("is not that through a gateway whose breaker is open, where another works", () => {
    const broken = path();
    fail(broken.breaker, true, 0, () => 0);
    const [idle, busy] = [connection(broken, 0), connection(path(), 3)];
    assert.equal(poolOf(idle, busy).acquire(), busy);
    assert.equal(poolOf(idle).acquire(), idle);
  });

  it("leadsBy() tells whether a connection that lasts goes that way", () => {
    const [way, other] = [path(), path()];
    const pool = poolOf(connection(way, 1));
    assert.deepEqual([pool.leadsBy(way), pool.leadsBy(other)], [true, false]);
  });
});
