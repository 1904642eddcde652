import assert from "node:assert/strict";
import { systemClock } from "../core/clock.ts";
import { hasCode } from "../core/errors.ts";
import { seededRandom } from "../core/random.ts";
import { openStore, type StoreOptions } from "./open-store.ts";

const options: StoreOptions = { cluster: "west", clock: systemClock, random: seededRandom(1) };

describe("openStore()", () => {
  it("opens single nodes, Sentinels and Redis Clusters without waiting for them", async () => {
    for (const url of [
      "redis://127.0.0.1:1/3",
      "rediss://[::1]",
      "redis+sentinel://127.0.0.1:1,[::1]/mymaster?db=2",
      "rediss+sentinel://127.0.0.1:1/my-master",
      "redis+cluster://127.0.0.1:1,127.0.0.1:2",
      "rediss+cluster://127.0.0.1:1/0",
    ]) {
      const store = await openStore(url, options);
      assert.equal(store.health().state, "degraded", url);
      await assert.rejects(store.read(""), (error) => hasCode(error, "REGISTRY_UNAVAILABLE"));
      await store.close();
    }
  });

  it("opens the embedded registry for memory:", async () => {
    const store = await openStore("memory:", options);
    assert.deepEqual(store.health(), { state: "up" });
    assert.deepEqual((await store.read("")).entries, []);
    await store.close();
  });

  const refused: [what: string, url: string, more?: Partial<StoreOptions>][] = [
    ["another scheme", "http://localhost:6379"],
    ["no URL at all", "localhost"],
    ["no host", "redis://"],
    ["a password in the URL", "redis://:hunter2@localhost"],
    ["a user in the URL", "redis://hunter2@localhost"],
    ["more after the database number", "redis://localhost/0?password=hunter2"],
    ["certificates for a plain connection", "redis://localhost", { caFile: "/ca.pem" }],
    ["a certificate without its key", "rediss://localhost", { certFile: "/cert.pem" }],
    ["a user without a password", "redis://localhost", { username: "mesh" }],
    ["an unreadable password file", "redis://localhost", { passwordFile: "/nonexistent/password" }],
    ["several hosts of one Redis", "redis://a:1,b:2"],
    ["Sentinels without a master", "redis+sentinel://a:1,b:2"],
    ["more than a database after Sentinels", "redis+sentinel://a:1/mymaster?password=hunter2"],
    ["a password for Sentinels", "redis+sentinel://:hunter2@a:1/mymaster"],
    ["a password of Sentinels that are none", "redis://a:1", { sentinelPasswordFile: "/hunter2" }],
    ["a database of Redis Cluster", "redis+cluster://a:1,b:2/1"],
    ["an empty host among several", "redis+cluster://a:1,,b:2"],
    ["a port that is none", "rediss+cluster://a:99999"],
  ];
  for (const [what, url, more] of refused) {
    it(`refuses ${what} with USAGE and repeats no secret`, async () => {
      await assert.rejects(openStore(url, { ...options, ...more }), (error) => {
        assert.ok(hasCode(error, "USAGE"));
        assert.ok(!error.message.includes("hunter2"));
        return true;
      });
    });
  }
});
