import assert from "node:assert/strict";
import type { MeshError } from "../../core/errors.ts";
import { silentLog } from "../../core/log.ts";
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { MuxContext } from "../../transport/mux/mux-context.ts";
import { type DialMux, MuxPool } from "../../transport/mux/mux-pool.ts";
import { createBreaker } from "../resilience/breaker.ts";
import type { Blame, GatewayTarget } from "./gateway-target.ts";
import { MuxPaths } from "./mux-paths.ts";
import { createLoad } from "./peak-ewma.ts";

describe("MuxPaths", () => {
  const target = (host: string): GatewayTarget => {
    return { host, port: 1, load: createLoad(0), breaker: createBreaker(), connectedMs: 0, answers: { count: 0 } };
  };
  const [a, b, c] = [target("a"), target("b"), target("c")];
  let made: MuxPool<Blame>[];
  let paths: MuxPaths;
  let dials: { cancelled: boolean }[];

  /** Pools whose dials never end: a stream that waits counts as one that is open. */
  const dial: DialMux<Blame> = () => {
    const begun = { cancelled: false };
    dials.push(begun);
    return () => {
      begun.cancelled = true;
    };
  };
  const ignore = (_: ByteStream | MeshError) => {};
  const open = (gateway: GatewayTarget, count = 1) => {
    for (let i = 0; i < count; i++) paths.to(gateway).open(dial, ignore, ignore);
  };

  beforeEach(() => {
    made = [];
    dials = [];
    const context = { log: silentLog, limits: { streams: 100 } } as unknown as MuxContext;
    paths = new MuxPaths(() => {
      const pool = new MuxPool<Blame>(context);
      made.push(pool);
      return pool;
    });
  });
  afterEach(() => paths.destroy());

  it("has a pool for each gateway, made once", () => {
    assert.equal(paths.to(a), paths.to(a));
    assert.notEqual(paths.to(a), paths.to(b));
    assert.notEqual(paths.to(undefined), paths.to(a));
    assert.equal(made.length, 3);
  });

  it("leastUsed() is the gateway with the fewest streams, any of them where several have as few", () => {
    assert.equal(
      paths.leastUsed([], () => 0),
      undefined,
    );
    open(a, 2);
    open(b);
    assert.equal(
      paths.leastUsed([a, b], () => 0.99),
      b,
    );
    open(b);
    assert.deepEqual(
      [0, 0.99].map((uniform) => paths.leastUsed([a, b], () => uniform)),
      [a, b],
    );
    assert.equal(
      paths.leastUsed([a, b, c], () => 0.99),
      c,
    );
  });

  it("probe() dials once where there is no connection, and not any more once closed", () => {
    paths.probe(a, dial);
    paths.probe(a, dial);
    assert.equal(dials.length, 1);
    paths.close();
    paths.probe(b, dial);
    assert.equal(dials.length, 1);
  });

  it("keep() drops the pools of gateways that lead there no more, and not the one that needs none", () => {
    open(a);
    const [kept, local] = [paths.to(b), paths.to(undefined)];
    paths.keep([b]);
    assert.equal(paths.to(b), kept);
    assert.equal(paths.to(undefined), local);
    const again = made.length;
    paths.to(a);
    assert.equal(made.length, again + 1);
  });

  it("rebalance() begins anew where a gateway carries nothing and others could share, at most every 10 s", () => {
    let retired = 0;
    const retire = paths.retire.bind(paths);
    paths.retire = () => {
      retired++;
      retire();
    };
    open(a);
    paths.rebalance([a, b], 0);
    assert.equal(retired, 0, "one stream cannot be shared");
    open(a);
    paths.rebalance([a], 0);
    assert.equal(retired, 0, "there is no other");
    paths.rebalance([a, b], 0);
    assert.equal(retired, 1);
    paths.rebalance([a, b], 9_999);
    assert.equal(retired, 1);
    paths.rebalance([a, b], 10_000);
    assert.equal(retired, 2);
    open(b);
    paths.rebalance([a, b], 20_000);
    assert.equal(retired, 2, "all carry something");
  });
});
