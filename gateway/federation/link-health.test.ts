import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { HEALTH } from "../../core/defaults.ts";
import type { LinkState } from "../../core/link.ts";
import {
  forgiveStall,
  type HealthState,
  holdMs,
  initialHealth,
  nextDecisionMs,
  onHeartbeat,
  onTime,
} from "./link-health.ts";
import { LinkMonitor } from "./link-monitor.ts";

/** Lets time pass to `untilMs`, deciding whenever a decision is due, and names each state with its time. */
function pass(state: HealthState, untilMs: number): { state: HealthState; seen: string[] } {
  const seen: string[] = [];
  for (;;) {
    const atMs = nextDecisionMs(state, HEALTH);
    if (atMs === undefined || atMs > untilMs) return { state, seen };
    const next = onTime(state, atMs, HEALTH);
    if (next.health !== state.health || next.ramp !== state.ramp) seen.push(`${atMs} ${next.health} ${next.ramp}`);
    state = next;
  }
}

describe("link health", () => {
  const alive = onHeartbeat(initialHealth(0, 6_000), 1_000, HEALTH);

  it("is unknown until a first heartbeat, then alive", () => {
    assert.equal(initialHealth(0, 6_000).health, "unknown");
    assert.equal(alive.health, "alive");
  });

  it("is suspect after 3 missed heartbeats and dead after 5", () => {
    assert.deepEqual(pass(alive, 60_000).seen, ["1600 suspect 1", "2000 dead 0"]);
  });

  it("is alive again at the first heartbeat while only suspected", () => {
    const { state } = pass(alive, 1_700);
    assert.equal(state.health, "suspect");
    assert.equal(onHeartbeat(state, 1_800, HEALTH).health, "alive");
  });

  it("recovers after 5 heartbeats in a row, not across a gap, then ramps in 10 steps", () => {
    let state = pass(alive, 5_000).state;
    for (const atMs of [5_000, 5_200, 5_400, 5_600]) state = onHeartbeat(state, atMs, HEALTH);
    state = onHeartbeat(state, 6_600, HEALTH);
    assert.equal(state.health, "dead");
    for (const atMs of [6_800, 7_000, 7_200, 7_400]) state = onHeartbeat(state, atMs, HEALTH);
    assert.deepEqual([state.health, state.ramp], ["recovering", 0.1]);
    const ramps = new Set([state.ramp]);
    for (let atMs = 7_600; atMs <= 17_600; atMs += 200) {
      state = onTime(onHeartbeat(state, atMs, HEALTH), atMs, HEALTH);
      ramps.add(state.ramp);
    }
    assert.deepEqual([state.health, state.ramp], ["alive", 1]);
    assert.equal(ramps.size, 10);
  });

  it("is dead again at once when it falls silent while recovering", () => {
    let state = pass(alive, 5_000).state;
    for (let i = 0; i < 5; i++) state = onHeartbeat(state, 5_000 + i * 200, HEALTH);
    assert.deepEqual(pass(state, 60_000).seen.at(-1), "6400 dead 0");
  });

  it("holds a link that flaps each second down longer each time, within bounds, and forgives it once it stays up", () => {
    let state = alive;
    let nowMs = 1_000;
    const downs: number[] = [];
    let diedMs = 0;
    // A second of heartbeats, a second of silence, for ten minutes.
    for (let tick = 0; tick < 3_000; tick++, nowMs += 200) {
      const before = state.health;
      if (Math.floor(nowMs / 1_000) % 2 === 0) state = onHeartbeat(state, nowMs, HEALTH);
      state = onTime(state, nowMs, HEALTH);
      if (state.health === "dead" && before !== "dead") diedMs = nowMs;
      if (before === "dead" && state.health === "recovering") downs.push(nowMs - diedMs);
    }
    assert.ok(downs.length >= 4 && downs.length < 20, downs.join());
    for (let i = 1; i < downs.length; i++)
      assert.ok((downs[i] ?? 0) >= Math.min(60_000, downs[i - 1] ?? 0), downs.join());
    assert.ok((downs.at(-1) ?? 0) >= 30_000 && (downs.at(-1) ?? 0) < 70_000, downs.join());
    // Up for ten minutes, then lost once: held down no longer than at the first time.
    for (let i = 0; i < 3_600; i++, nowMs += 200) state = onTime(onHeartbeat(state, nowMs, HEALTH), nowMs, HEALTH);
    assert.equal(state.health, "alive");
    state = pass(state, nowMs + 2_000).state;
    assert.equal(holdMs(state, HEALTH), 0);
  });

  it("calls a dead link stale once the lease is over, until it comes back", () => {
    let { state } = pass(alive, 301_999);
    assert.deepEqual([state.health, state.stale], ["dead", false]);
    state = pass(state, 302_000).state;
    assert.deepEqual([state.health, state.stale], ["dead", true]);
    for (let i = 0; i < 5; i++) state = onHeartbeat(state, 400_000 + i * 200, HEALTH);
    assert.deepEqual([state.health, state.stale], ["recovering", false]);
  });

  it("keeps what the registry says through a restart until the grace is over", () => {
    assert.equal(initialHealth(0, 6_000, "alive").health, "alive");
    assert.equal(initialHealth(0, 6_000, "dead").health, "dead");
    assert.deepEqual(pass(initialHealth(0, 6_000, "alive"), 60_000).seen, ["6600 suspect 1", "7000 dead 0"]);
  });

  it("forgives silence that was our own stall", () => {
    const stalled = forgiveStall(alive, 10_000, HEALTH);
    assert.equal(onTime(stalled, 10_000, HEALTH).health, "alive");
    assert.equal(onTime(stalled, 10_600, HEALTH).health, "dead");
  });
});

describe("LinkMonitor", () => {
  it("publishes changes only, and a dead link within a second of its last heartbeat", async () => {
    const clock = new ManualClock();
    const published: LinkState[] = [];
    const facts = () => ({ agreed: true, reason: "", evacuated: 0, refused: [] });
    const publish = (state: LinkState) => published.push(state);
    const monitor = new LinkMonitor({ cluster: "east", settings: HEALTH, clock, before: undefined, facts, publish });
    await clock.advance(60_000);
    assert.equal(published.length, 0, "nothing is expected of a link that is not joined");
    monitor.start();
    for (let i = 0; i < 50; i++) {
      monitor.heartbeat();
      await clock.advance(200);
    }
    assert.deepEqual(
      published.map(({ health, active }) => [health, active]),
      [
        ["unknown", false],
        ["alive", true],
      ],
    );
    await clock.advance(800);
    assert.equal(monitor.health, "dead");
    await clock.advance(60_000);
    assert.equal(published.length, 4);
    await clock.advance(300_000);
    assert.deepEqual([published.length, published.at(-1)?.stale], [5, true]);
    assert.match(published.at(-1)?.reason ?? "", /stale, and kept/);
    monitor.close();
  });

  it("tells what the peer's heartbeats and our own evacuation drain, whichever is more", () => {
    const published: LinkState[] = [];
    let evacuated = 0;
    const monitor = new LinkMonitor({
      cluster: "east",
      settings: HEALTH,
      clock: new ManualClock(),
      before: undefined,
      facts: () => ({ agreed: true, reason: "", evacuated, refused: [] }),
      publish: (state) => published.push(state),
    });
    monitor.start();
    monitor.heartbeat();
    monitor.drained(0.5);
    evacuated = 0.25;
    monitor.changed();
    evacuated = 1;
    monitor.changed();
    for (const share of [Number.NaN, 7, -1]) monitor.drained(share);
    evacuated = 0;
    monitor.changed();
    const seen = published.map(({ drained }) => drained);
    assert.deepEqual(seen, [undefined, undefined, 0.5, 1, undefined]);
    monitor.close();
  });
});
