import { deepEqual, ok } from "node:assert/strict";
import { systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { type Sample, Traffic } from "../../drills/traffic.ts";
import type { LocalMesh } from "./local-mesh.ts";

const GETS_PER_SECOND = 10;
const POSTS_PER_SECOND = 5;

/** GETs and POSTs that the client of a cluster sends through its sidecar, without a pause. */
export class MeshTraffic {
  readonly #running: Traffic[] = [];

  /** To each of `hosts`, as `client` of `cluster`. */
  async start(mesh: LocalMesh, cluster: string, hosts: readonly string[]): Promise<void> {
    const proxy = { host: await mesh.podAddress(cluster, "client"), port: PORTS.outbound };
    for (const host of hosts) {
      const common = { url: `http://${host}/?whoami`, proxy, timeoutMs: 60_000, headers: {} };
      const gets = new Traffic({ ...common, perSecond: GETS_PER_SECOND }, systemClock);
      const posts = new Traffic({ ...common, perSecond: POSTS_PER_SECOND, post: "hello" }, systemClock);
      for (const traffic of [gets, posts]) {
        this.#running.push(traffic);
        traffic.start();
      }
    }
  }

  /** Ends it, asserts that no request failed, and tells how many there were and how they fared. */
  async stop(): Promise<string> {
    const all: Sample[] = [];
    for (const traffic of this.#running.splice(0)) {
      await traffic.stop();
      all.push(...traffic.samples);
    }
    deepEqual(
      all.filter(({ error }) => error !== ""),
      [],
      "no request failed",
    );
    ok(all.length > 0);
    const times = all.map(({ dueMs, endMs }) => endMs - dueMs).sort((a, b) => a - b);
    const p99 = times[Math.ceil(times.length * 0.99) - 1] ?? 0;
    return `${all.length} requests, 0 failed, p99 ${p99.toFixed(0)} ms, longest ${(times.at(-1) ?? 0).toFixed(0)} ms`;
  }
}
