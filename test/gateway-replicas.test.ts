import { deepEqual, ok } from "node:assert/strict";
import { Agent, request } from "node:http";
import { PORTS } from "../core/defaults.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";

const WEB_EAST = "web-east.shop.svc.cluster.local";
const CALLERS = 8;

/** GETs of `authority` through a sidecar, some at a time, until `stop()`, which tells what each came to. */
function load(sidecar: string, authority: string): { counts: Map<string, number>; stop(): Promise<void> } {
  const agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
  const counts = new Map<string, number>();
  let over = false;
  const get = () =>
    new Promise<string>((resolve) => {
      const options = { host: sidecar, port: PORTS.outbound, path: "/?whoami", headers: { host: authority }, agent };
      const call = request(options, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve(response.statusCode === 200 ? "200" : `${response.statusCode} ${text}`));
        response.on("error", (error: Error) => resolve(`cut: ${error.message}`));
      });
      call.on("error", (error) => resolve(`failed: ${error.message}`));
      call.end();
    });
  const caller = async () => {
    while (!over) {
      const what = await get();
      counts.set(what, (counts.get(what) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const callers = Array.from({ length: CALLERS }, caller);
  return {
    counts,
    async stop() {
      over = true;
      await Promise.all(callers);
      agent.destroy();
    },
  };
}

describe("a cluster with two gateways", () => {
  let mesh: LocalMesh;
  let sidecar: string;

  before(async () => {
    mesh = await LocalMesh.start({ gateways: 2 });
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    await mesh.answered("west", WEB_EAST, "east");
    sidecar = await mesh.podAddress("west", "client");
  });

  after(async () => {
    await mesh?.stop();
  });

  /** Bytes that a gateway of east has relayed so far; undefined while it is away. */
  async function relayed(host: string): Promise<number | undefined> {
    const signal = AbortSignal.timeout(2_000);
    const page = await fetch(`http://${host}:${PORTS.admin}/metrics`, { signal }).catch(() => undefined);
    const bytes = /^relay_bytes_total\{direction="in"\} (\d+)$/m.exec((await page?.text()) ?? "")?.[1];
    return bytes === undefined ? undefined : Number(bytes);
  }

  /** Waits until traffic goes through each of these. */
  async function carrying(...hosts: string[]): Promise<void> {
    for (const host of hosts) {
      let last: number | undefined;
      await reached(`${host} relays`, async () => {
        const now = await relayed(host);
        const more = last !== undefined && now !== undefined && now > last;
        last = now;
        return more;
      });
    }
  }

  it("loses no GET when either is killed, and uses both again once it is back", async () => {
    const { gateway: first, moreGateways } = mesh.layout("east");
    const [second = ""] = moreGateways;
    const running = load(sidecar, WEB_EAST);
    await carrying(first, second);
    // The one that leads, and has the stream, goes first or second.
    for (const name of ["gateway", "gateway-2"]) {
      const killed = await mesh.kill("east", name);
      await carrying(name === "gateway" ? second : first);
      await mesh.restarted("east", killed);
      await carrying(first, second);
      await mesh.linkActive("east", "west");
    }
    await running.stop();
    deepEqual([...running.counts.keys()], ["200"]);
    ok((running.counts.get("200") ?? 0) > 100);
  });

  interface Lease {
    readonly lease: string;
    readonly holder: string | null;
    /** Redis's time in µs when it was given to that holder. */
    readonly token: string;
    readonly ttlMs: number;
  }

  async function leaseOf(cluster: string, name: string): Promise<Lease | undefined> {
    const { leases } = await mesh.meshJson<{ leases: Lease[] }>("registry", "status", "--context", cluster);
    return leases.find(({ lease, holder }) => lease === name && holder !== null);
  }

  it("has the one take over the link whose other, which dials, is killed while its lease still runs", async () => {
    const running = load(sidecar, WEB_EAST);
    const asked = Date.now();
    const before = await reached("somebody dials east", () => leaseOf("west", "link/east"));
    const killed = await mesh.kill("west", before.holder === "gateway-local-0" ? "gateway" : "gateway-2");
    const after = await reached("the link is taken over", async () => {
      const now = await leaseOf("west", "link/east");
      return now !== undefined && now.holder !== before.holder && now;
    });
    ok(Number(BigInt(after.token) / 1_000n) < asked + before.ttlMs, "the old lease was not over");
    await mesh.linkActive("east", "west");
    await mesh.restarted("west", killed);
    await running.stop();
    deepEqual([...running.counts.keys()], ["200"]);
  });
});
