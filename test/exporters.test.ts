import { deepEqual, equal, notEqual } from "node:assert/strict";
import { LocalMesh, reached } from "./support/local-mesh.ts";

const CLUSTERSET = "web.shop.svc.clusterset.local";
const host = (cluster: string) => `web-${cluster}.shop.svc.cluster.local`;

interface Import {
  readonly status?: { readonly clusters?: readonly { readonly cluster: string }[] };
}

describe("three clusters, two of which export the same service to the third", () => {
  let mesh: LocalMesh;

  before(async () => {
    mesh = await LocalMesh.start({ clusters: ["east", "north", "west"] });
    for (const cluster of ["east", "north"]) {
      await mesh.meshOutput("link", "--context", cluster);
      await mesh.meshOutput("export", "shop/web", "--context", cluster);
    }
  });

  after(async () => {
    await mesh?.stop();
  });

  async function importedFrom(clusters: string): Promise<void> {
    await reached(`west's web is imported from ${clusters}`, async () => {
      const { status } = await mesh.json<Import>("west", "-n", "shop", "serviceimport", "web");
      return (status?.clusters ?? []).map(({ cluster }) => cluster).join() === clusters;
    });
  }

  it("gives the third a mirror of each, answered by its own cluster", async () => {
    for (const cluster of ["east", "north"]) {
      await mesh.serviceThere("west", `web-${cluster}`);
      const { client } = await mesh.answered("west", host(cluster), cluster);
      equal(client, "spiffe://west.mesh/ns/shop/sa/client");
    }
  });

  it("does not make the exporters known to each other", async () => {
    deepEqual(await mesh.names("east", "links"), ["link.causeway.dev/west"]);
    deepEqual(await mesh.names("north", "links"), ["link.causeway.dev/west"]);
    const services = await mesh.names("east", "-n", "shop", "services");
    deepEqual(
      services.filter((name) => name.includes("north")),
      [],
    );
  });

  it("has one clusterset name over all three, and falls from one to the next", async () => {
    await importedFrom("east,north,west");
    equal((await mesh.whoami("west", CLUSTERSET)).cluster, "west");
    await mesh.kubectl("west", "-n", "shop", "scale", "deployment", "web", "--replicas=0");
    const first = await reached("another cluster answers", async () => {
      const { cluster } = await mesh.whoami("west", CLUSTERSET);
      return cluster === "west" ? undefined : cluster;
    });
    const second = first === "east" ? "north" : "east";
    // The rest of that cluster goes too, all at once.
    await mesh.kubectl(first, "-n", "shop", "scale", "deployment", "web", "--replicas=0");
    await mesh.answered("west", CLUSTERSET, second);
    await mesh.kubectl(first, "-n", "shop", "scale", "deployment", "web", "--replicas=2");
    await mesh.kubectl("west", "-n", "shop", "scale", "deployment", "web", "--replicas=2");
    await mesh.answered("west", CLUSTERSET, "west");
  });

  it("keeps one exporter's service while the other's cluster is dead", async () => {
    for (const name of ["supervisor", ...mesh.records("east").map((record) => record.name)]) {
      if (mesh.record("east", name) !== undefined) await mesh.kill("east", name);
    }
    equal((await mesh.answered("west", host("north"), "north")).cluster, "north");
    await reached("west's link to east is down", async () => (await mesh.linkPhase("west", "east")) !== "active");
    equal(await mesh.linkPhase("west", "north"), "active");
    // West's pods, which were away a moment ago, come back to their share little by little.
    notEqual((await mesh.whoami("west", CLUSTERSET)).cluster, "east");
    equal((await mesh.whoami("west", host("north"))).cluster, "north");
  });

  it("brings the dead one back with mesh up alone", async () => {
    const up = await mesh.meshOutput(...mesh.upArguments());
    equal(up.includes("north is already running"), true);
    await mesh.linkActive("west", "east");
    await mesh.answered("west", host("east"), "east");
    await mesh.meshOutput("unlink", "north");
    await mesh.serviceThere("west", "web-north", false);
    await importedFrom("east,west");
    await mesh.answered("west", host("east"), "east");
  });
});
