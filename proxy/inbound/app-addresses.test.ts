import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { systemClock } from "../../core/clock.ts";
import { clientContextOptions } from "../../identity/workload-tls.ts";
import { eventually } from "../../test/support/eventually.ts";
import { ask, createProxyWorld, type ProxyWorld } from "../../test/support/proxy-world.ts";
import { HTTP1, writePreface } from "../preface.ts";
import type { RunningProxy } from "../start-proxy.ts";
import { AppAddresses, isSocketPath } from "./app-addresses.ts";

describe("isSocketPath()", () => {
  it("wants an absolute path that Linux does not cut", () => {
    assert.ok(isSocketPath("/run/app.sock") && isSocketPath(`/${"x".repeat(106)}`));
    for (const bad of ["", "app.sock", "./a", `/${"x".repeat(107)}`, `/${"ü".repeat(60)}`, "/a\0b"]) {
      assert.equal(isSocketPath(bad), false, bad);
    }
  });
});

describe("AppAddresses", () => {
  const tcp = (port: number) => ({ host: "10.0.0.1", port });

  it("prefers a socket set by hand, then control's, then TCP", () => {
    const apps = new AppAddresses({ host: "10.0.0.1", sockets: { 80: "/by/hand" } }, "web-0");
    apps.apply(
      new Map([
        [80, "/by/control"],
        [81, "/run/$(POD_NAME).sock"],
        [82, "relative"],
      ]),
    );
    assert.deepEqual(
      [80, 81, 82, 83].map((port) => apps.of(port)),
      [{ path: "/by/hand" }, { path: "/run/web-0.sock" }, tcp(82), tcp(83)],
    );
  });

  it("tells which of the ports in use are elsewhere now", () => {
    const apps = new AppAddresses({ host: "10.0.0.1" }, "web-0");
    for (const port of [80, 81]) apps.of(port);
    const sockets = new Map([
      [80, "/a"],
      [90, "/b"],
    ]);
    assert.deepEqual(apps.apply(sockets), [80]);
    assert.deepEqual(apps.apply(sockets), []);
    assert.deepEqual(apps.apply(new Map([[80, "/c"]])), [80]);
    assert.deepEqual(apps.apply(new Map()), [80]);
  });
});

describe("an app on a unix socket", () => {
  const PORT = 8080;
  let folder: string;
  let world: ProxyWorld;
  let client: RunningProxy;
  const servers: Server[] = [];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "causeway-app-"));
    world = await createProxyWorld();
    client = await world.proxy("client");
  });
  after(async () => {
    await world.close();
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    rmSync(folder, { recursive: true, force: true });
  });

  async function listen(path: string): Promise<Server> {
    const server = createServer((request, response) => void response.end(`${path} for ${request.url}`));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return server;
  }

  function publish(authority: string, server: RunningProxy): void {
    const identity = world.control.mesh.identity("shop", "web");
    const place = { address: "127.0.0.1", port: PORT, proxyPort: server.inboundPort };
    const groups = [{ trustDomain: "east.mesh", endpoints: [{ id: authority, ...place, identity, ready: true }] }];
    world.control.service({ authority: `${authority}:80`, kind: "KIND_SERVICE", groups });
  }

  it("is reached by a socket that was named by hand", async () => {
    const path = join(folder, "hand.sock");
    await listen(path);
    const server = await world.proxy("web", { app: { host: "127.0.0.1", sockets: { [PORT]: path } } });
    publish("hand.shop", server);
    assert.equal((await ask(client.outboundPort, "hand.shop", { path: "/x" })).body, `${path} for /x`);
  });

  it("is reached by the socket that control names, wherever it moves", async () => {
    const [first, second] = [join(folder, "web-0-a.sock"), join(folder, "b.sock")];
    await Promise.all([listen(first), listen(second)]);
    const server = await world.proxy("web");
    publish("moving.shop", server);
    const say = (appSocket: string) =>
      world.control.inbound("web", { cluster: "east", trustDomain: "east.mesh", ports: [{ port: PORT, appSocket }] });
    const reached = async (path: string) => (await ask(client.outboundPort, "moving.shop")).body === `${path} for /`;
    say(join(folder, "$(POD_NAME)-a.sock"));
    await eventually(() => reached(first));
    say(second);
    await eventually(() => reached(second));
  });

  it("is called missing, with 502, where nobody listens on the socket", async () => {
    const path = join(folder, "gone.sock");
    const server = await world.proxy("web", { app: { host: "127.0.0.1", sockets: { [PORT]: path } } });
    const { mesh } = world.control;
    const caller = await mesh.workload(mesh.identity("shop", "near"), [], systemClock, world.signal);
    const socket = connect({
      ...clientContextOptions(mesh.authority.bundle, caller.source.svid),
      host: "127.0.0.1",
      port: server.inboundPort,
      servername: "east.mesh",
      checkServerIdentity: () => undefined,
      ALPNProtocols: ["causeway/1"],
    });
    socket.write(writePreface({ protocol: HTTP1, port: PORT }));
    socket.write("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
    let text = "";
    for await (const data of socket) text += String(data);
    assert.match(text, /^HTTP\/1\.1 502 [\s\S]*x-causeway-error: PROXY_CONNECT_FAILED/);
    assert.match(text, /Cannot reach the app on port 8080: its unix socket is missing or takes no connection/);
    assert.ok(!text.includes(folder));
  });
});
