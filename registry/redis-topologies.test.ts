import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "../core/random.ts";
import { registryRules } from "../test/support/redis-acl.ts";
import { hasRedisServer } from "../test/support/redis-server.ts";
import { ClusterTopology, SentinelTopology } from "../test/support/redis-topology.ts";
import { RedisStore } from "./redis-store.ts";
import { redisEndpoint } from "./redis-url.ts";
import { describeStoreContract } from "./store.contract.ts";

const CLUSTER = "west";
const PASSWORD = randomBytes(12).toString("hex");

const TOPOLOGIES = { "Redis Sentinel": SentinelTopology, "Redis Cluster": ClusterTopology } as const;

for (const [name, Topology] of Object.entries(TOPOLOGIES)) {
  const title = `${name} with TLS, client certificates and an ACL user that may do no more than needed`;
  describe(title, () => {
    let topology: SentinelTopology | ClusterTopology | undefined;
    const stores: RedisStore[] = [];
    before(async function () {
      this.timeout(60_000);
      if (!(await hasRedisServer())) return this.skip();
      topology = await Topology.start({ secret: PASSWORD, users: { mesh: registryRules([CLUSTER], PASSWORD) } });
    });
    after(async () => {
      await topology?.stop();
    });
    describeStoreContract(name, {
      async open(more = {}) {
        if (topology === undefined) throw new Error("not started");
        const file = (fileName: string) => join(topology?.certificates ?? "", fileName);
        await writeFile(file("password"), `${PASSWORD}\n`, { mode: 0o600 });
        const endpoint = await redisEndpoint(topology.url, {
          username: "mesh",
          passwordFile: file("password"),
          ...(topology instanceof SentinelTopology ? { sentinelPasswordFile: file("password") } : {}),
          caFile: file("ca.pem"),
          certFile: file("cert.pem"),
          keyFile: file("key.pem"),
        });
        const store = new RedisStore({ cluster: CLUSTER, endpoint, random: seededRandom(1), blockMs: 100, ...more });
        stores.push(store);
        return store;
      },
      elapse: () => new Promise((resolve) => setTimeout(resolve, 10)),
      async reset() {
        for (const store of stores.splice(0)) await store.close();
        for (const server of topology?.servers ?? [])
          await topology
            ?.admin(server)
            .flushall()
            .catch(() => {});
      },
    });
  });
}
