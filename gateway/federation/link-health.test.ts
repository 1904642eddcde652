import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { HEALTH } from "../../core/defaults.ts";
import type { LinkState } from "../../core/link.ts";
import { forgiveStall, type HealthState, initialHealth, nextDecisionMs, onHeartbeat, onTime } from "./link-health.ts";
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
    const facts = () => ({ agreed: true, reason: "" });
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
    monitor.close();
  });
});
