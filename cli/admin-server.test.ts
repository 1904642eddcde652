import assert from "node:assert/strict";
import { request } from "node:http";
import { networkInterfaces } from "node:os";
import { type AdminServer, startAdminServer } from "./admin-server.ts";

/** An address of this machine that is not a loopback one, if it has any. */
function outerAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

describe("startAdminServer", () => {
  let server: AdminServer;
  let cleared = 0;

  before(async () => {
    server = await startAdminServer({
      host: "127.0.0.1",
      port: 0,
      notReady: () => undefined,
      degraded: () => undefined,
      metrics: () => "",
      config: () => ({}),
      drain() {},
      registry: {
        status: () => Promise.reject(new Error("not asked for")),
        dump: () => Promise.reject(new Error("not asked for")),
        clear: async () => void cleared++,
      },
    });
  });
  after(() => server.close());

  function clear(localAddress: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: server.port, localAddress, method: "POST", path: "/registry/clear" };
      request(options, (response) => {
        let body = "";
        response.on("data", (data: Buffer) => {
          body += data.toString();
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      })
        .on("error", reject)
        .end();
    });
  }

  it("clears the registry for its own machine", async () => {
    const { status } = await clear("127.0.0.1");
    assert.deepEqual([status, cleared], [200, 1]);
  });

  it("clears nothing for another machine", async function () {
    const from = outerAddress();
    if (from === undefined) this.skip();
    const before = cleared;
    const { status, body } = await clear(from);
    assert.deepEqual([status, cleared], [403, before]);
    assert.match(body, /REGISTRY_DENIED/);
  });
});
