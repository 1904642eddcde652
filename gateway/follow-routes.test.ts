import assert from "node:assert/strict";
import { systemClock } from "../core/clock.ts";
import { defaultTrustDomain } from "../core/identity.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { LINKS } from "../kube/resources.ts";
import { LOCAL_SERVICES, PEER_ENDPOINTS } from "../registry/state.ts";
import { eventually } from "../test/support/eventually.ts";
import { GatewayWorld, localService } from "../test/support/gateway-world.ts";
import { type FollowedRoutes, followRoutes } from "./follow-routes.ts";

describe("followRoutes()", () => {
  let east: GatewayWorld;
  let west: GatewayWorld;
  let life: AbortController;
  let followed: FollowedRoutes;

  before(async () => {
    [east, west] = await Promise.all([GatewayWorld.create("east"), GatewayWorld.create("west")]);
    await Promise.all([east.start(), west.start()]);
    life = new AbortController();
    const { cluster, kube, store } = east;
    const shared = { clock: systemClock, random: seededRandom(1), log: silentLog, signal: life.signal };
    followed = await followRoutes({ cluster, trustDomain: defaultTrustDomain(cluster), kube, store, ...shared });
  });

  after(async () => {
    await followed?.close();
    life.abort();
    await Promise.all([east.close(), west.close()]);
  });

  it("has the routes of the gateway of its cluster, and loses them with the export and with the link", async () => {
    await east.serve("shop", "web", ["west"], ["10.1.0.1"]);
    assert.equal(followed.routes.size, 0, "nobody is linked");
    await west.link(east, await east.token());
    const endpoints = await eventually(() => west.value(PEER_ENDPOINTS, "east", "shop", "web"));
    const name = endpoints.endpoints[0]?.routes[0]?.routeName ?? "";
    const target = await eventually(() => followed.routes.lookup(name));
    assert.deepEqual(target, east.routes?.lookup(name));
    assert.equal(target.key, name);
    assert.equal(`${target.host}:${target.port} ${target.peer}`, "10.1.0.1:4143 west");
    assert.ok(followed.synced);

    const removed: string[] = [];
    followed.routes.onRemoved((names) => removed.push(...names));
    await east.write(LOCAL_SERVICES, { "shop/web": localService("shop", "web", undefined) });
    await eventually(() => removed.includes(name));
    assert.equal(followed.routes.lookup(name), undefined);

    await east.write(LOCAL_SERVICES, { "shop/web": localService("shop", "web", "all") });
    await eventually(() => followed.routes.lookup(name));
    await west.kube.delete(LINKS, "east");
    await eventually(() => followed.routes.size === 0);
  });
});
