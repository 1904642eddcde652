import assert from "node:assert/strict";
import { systemClock } from "../core/clock.ts";
import { hasCode } from "../core/errors.ts";
import { seededRandom } from "../core/random.ts";
import { openStore, type StoreOptions } from "./open-store.ts";

const options: StoreOptions = { cluster: "west", clock: systemClock, random: seededRandom(1) };

describe("openStore()", () => {
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
