import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { type Log, silentLog } from "../core/log.ts";
import type { ByteStream } from "../transport/byte-stream.ts";
import { LoopGuard } from "./loop-guard.ts";
import { Metrics } from "./observe/metrics.ts";

function stream(localPort: number, remoteAddress: string, remotePort: number): ByteStream {
  return { localAddress: "::ffff:10.0.0.2", localPort, remoteAddress, remotePort } as ByteStream;
}

describe("LoopGuard", () => {
  const said: string[] = [];
  const log: Log = { ...silentLog, error: (event) => said.push(event) };

  it("knows a connection of its own by where it comes from and goes to, while it is new", async () => {
    const clock = new ManualClock();
    const metrics = new Metrics();
    const guard = new LoopGuard({ clock, log, metrics });
    const to = { address: "192.0.2.1", port: 80 };
    guard.dialled(stream(50_001, "192.0.2.1", 80));
    const back = stream(4140, "10.0.0.2", 50_001);
    assert.equal(guard.isOwn(back, to), true);
    assert.equal(guard.isOwn(back, { ...to, port: 81 }), false, "another destination");
    assert.equal(guard.isOwn(stream(4140, "10.0.0.2", 50_002), to), false, "of the app");
    assert.equal(guard.isOwn(back, to), true);
    await clock.advance(1_000);
    assert.equal(guard.isOwn(back, to), false, "its port may be another's by now");
    assert.equal(metrics.counter("outbound_transparent_refused_total", `code="INTERCEPTION"`).value, 2);
    assert.deepEqual(said, ["outbound.loop.refused"]);
  });

  it("forgets the oldest of more than it keeps", () => {
    const guard = new LoopGuard({ clock: new ManualClock(), log, metrics: new Metrics() });
    for (let port = 1; port <= 5_000; port++) guard.dialled(stream(port, "192.0.2.1", 80));
    const own = (port: number) => guard.isOwn(stream(4140, "10.0.0.2", port), { address: "192.0.2.1", port: 80 });
    assert.deepEqual([own(1), own(904), own(905), own(5_000)], [false, false, true, true]);
  });
});
