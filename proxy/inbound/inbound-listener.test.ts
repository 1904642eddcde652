import assert from "node:assert/strict";
import { connect } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { systemClock } from "../../core/clock.ts";
import { clientContextOptions } from "../../identity/workload-tls.ts";
import { eventually } from "../../test/support/eventually.ts";
import { createTestMesh, type TestMesh, type TestWorkload } from "../../test/support/mesh-identity.ts";
import { createProxyWorld, type ProxyWorld, startApp, type TestApp } from "../../test/support/proxy-world.ts";
import { HTTP1, OPAQUE, type PrefaceProtocol, writePreface } from "../preface.ts";
import type { RunningProxy } from "../start-proxy.ts";

describe("listenInbound()", () => {
  let world: ProxyWorld;
  let west: TestMesh;
  let app: TestApp;
  let server: RunningProxy;
  let foreigner: TestWorkload;
  let neighbour: TestWorkload;

  before(async () => {
    west = await createTestMesh("west", systemClock.wallMs());
    world = await createProxyWorld("east", [west.authority.bundle]);
    app = await startApp((request, response) => void response.end(`for ${request.headers["x-causeway-client-id"]}`));
    world.later(() => app.close());
    server = await world.proxy("web", { limits: { prefaceMs: 200, admissionMs: 200 } });
    const { mesh } = world.control;
    neighbour = await mesh.workload(mesh.identity("shop", "near"), [], systemClock, world.signal);
    foreigner = await west.workload(west.identity("shop", "far"), [mesh.authority.bundle], systemClock, world.signal);
  });
  after(() => world.close());

  function exported(peers: string[]): void {
    const port = { port: app.port, peerTrustDomains: peers, namespace: "shop", service: "web" };
    world.control.inbound("web", { cluster: "east", trustDomain: "east.mesh", ports: [port] });
  }

  /** All that comes back on a connection of `workload` that says `bytes`, and whether it ended by itself. */
  async function say(workload: TestWorkload, bytes: Buffer, enough: (text: string) => boolean): Promise<string> {
    const socket: TLSSocket = connectTls({
      ...clientContextOptions(world.control.mesh.authority.bundle, workload.source.svid),
      host: "127.0.0.1",
      port: server.inboundPort,
      servername: "east.mesh",
      checkServerIdentity: () => undefined,
      ALPNProtocols: ["causeway/1"],
    });
    let text = "";
    let over = false;
    socket.on("data", (data: Buffer) => {
      text += data.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      over = true;
    });
    socket.write(bytes);
    await eventually(() => over || enough(text));
    socket.destroy();
    return over ? `${text}<end>` : text;
  }

  function request(protocol: PrefaceProtocol, port = app.port): Buffer {
    return Buffer.concat([writePreface({ protocol, port }), Buffer.from("GET / HTTP/1.1\r\nHost: web\r\n\r\n")]);
  }
  const answered = (text: string) => text.includes("\r\n\r\n");
  const never = () => false;

  it("refuses a foreign caller until its domain is named, also on what was not said yet", async () => {
    assert.match(
      await say(foreigner, request(HTTP1), answered),
      /^HTTP\/1\.1 403 [\s\S]*x-causeway-error: PROXY_DENIED/,
    );
    assert.equal(await say(foreigner, request(OPAQUE), never), "<end>");
    exported(["west.mesh"]);
    await eventually(async () =>
      (await say(foreigner, request(HTTP1), answered)).endsWith("for spiffe://west.mesh/ns/shop/sa/far"),
    );
    assert.match(await say(foreigner, request(OPAQUE), answered), /^HTTP\/1\.1 200 /);
    assert.match(await say(foreigner, request(HTTP1, app.port + 1), answered), /^HTTP\/1\.1 403 /);
  });

  it("refuses on open connections once the export ends", async () => {
    exported([]);
    await eventually(async () => (await say(foreigner, request(HTTP1), answered)).includes("403"));
  });

  it("lets callers of the own domain in, but not to the proxy's own ports", async () => {
    assert.match(await say(neighbour, request(HTTP1), answered), /for spiffe:\/\/east\.mesh\/ns\/shop\/sa\/near$/);
    for (const port of [server.adminPort, server.outboundPort, server.inboundPort]) {
      assert.match(await say(neighbour, request(HTTP1, port), answered), /^HTTP\/1\.1 403 /);
    }
  });

  it("answers 502 where the app is down", async () => {
    const gone = await startApp(() => {});
    await gone.close();
    const text = await say(neighbour, request(HTTP1, gone.port), answered);
    assert.match(text, /^HTTP\/1\.1 502 [\s\S]*x-causeway-error: PROXY_CONNECT_FAILED/);
    assert.equal(await say(neighbour, request(OPAQUE, gone.port), never), "<end>");
  });

  it("ends connections whose preface is wrong or does not come", async () => {
    assert.equal(await say(neighbour, Buffer.from("GET / HTTP/1.1\r\n\r\n"), never), "<end>");
    assert.equal(await say(neighbour, Buffer.from("CWY1"), never), "<end>");
    assert.equal(await say(neighbour, Buffer.from([0x43, 0x57, 0x59, 0x31, 9, 0, 80]), never), "<end>");
  });

  it("refuses a caller of an unknown CA, and plain text", async () => {
    const north = await createTestMesh("north", systemClock.wallMs());
    const { bundle } = world.control.mesh.authority;
    const stranger = await north.workload(north.identity("shop", "x"), [bundle], systemClock, world.signal);
    assert.equal(await say(stranger, request(HTTP1), answered), "<end>");
    const socket = connect({ host: "127.0.0.1", port: server.inboundPort });
    socket.on("error", () => {});
    socket.write(request(HTTP1));
    let text = "";
    socket.on("data", (data: Buffer) => {
      text += data.toString("latin1");
    });
    await new Promise((resolve) => socket.once("close", resolve));
    assert.ok(!text.includes("HTTP"));
  });
});
