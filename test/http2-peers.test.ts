import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunningProxy } from "../proxy/start-proxy.ts";
import { output } from "./support/commands.ts";
import { eventually } from "./support/eventually.ts";
import { createProxyWorld, type ProxyWorld } from "./support/proxy-world.ts";

const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` };
const missing = ["nghttpd", "nghttp", "h2load"].filter((name) => spawnSync(name, ["--version"], { env }).status !== 0);

async function freePort(): Promise<number> {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

describe("HTTP/2 between nghttp2's client and server, through two proxies", function () {
  this.timeout(60_000);
  let world: ProxyWorld;
  let client: RunningProxy;
  let app: ChildProcess | undefined;
  let directory: string;

  before(async function () {
    if (missing.length > 0) {
      console.log(`      ${missing.join(", ")} not installed (nghttp2-client, nghttp2-server): not tried`);
      this.skip();
    }
    directory = await mkdtemp(join(tmpdir(), "causeway-http2-peers-"));
    await writeFile(join(directory, "small"), "small");
    await writeFile(join(directory, "large"), randomBytes(3_000_000));
    const port = await freePort();
    const options = ["--no-tls", "--echo-upload", "--trailer=x-end: yes", `--htdocs=${directory}`];
    app = spawn("nghttpd", [...options, "--address=127.0.0.1", String(port)], { env, stdio: "ignore" });
    await eventually(() => accepts(port));
    world = await createProxyWorld();
    const server = await world.proxy("web");
    client = await world.proxy("client");
    const identity = world.control.mesh.identity("shop", "web");
    const at = { address: "127.0.0.1", port, proxyPort: server.inboundPort };
    const groups = [{ trustDomain: "east.mesh", endpoints: [{ id: "w", identity, ready: true, ...at }] }];
    world.control.service({ authority: "web.shop:80", kind: "KIND_SERVICE", groups });
  });
  after(async () => {
    await world?.close();
    if (app !== undefined && app.exitCode === null) {
      app.kill();
      await once(app, "exit");
    }
    if (directory !== undefined) await rm(directory, { recursive: true });
  });

  const authority = "--header=:authority: web.shop";
  const url = (path: string) => `http://127.0.0.1:${client.outboundPort}${path}`;

  it("carries an answer with trailers, with padding both ways", async () => {
    const said = await output("nghttp", ["-v", "--no-dep", "--padding=200", authority, url("/small")], { env });
    assert.match(said, /:status: 200/);
    assert.match(said, /x-end: yes/);
    assert.doesNotMatch(said, /GOAWAY[^\n]*\n[^\n]*error_code=(?!NO_ERROR)/);
  });

  it("carries an upload and its echo, with CONTINUATION and trailers", async () => {
    const options = ["--continuation", "--trailer=x-sum: 1", `--data=${join(directory, "large")}`];
    const said = await output("nghttp", ["--stat", "--null-out", ...options, authority, url("/echo")], { env });
    assert.match(said, /\s200\s+2M\s+\/echo/);
  });

  it("keeps pace with windows of all sizes", async () => {
    for (const bits of ["1", "10", "30"]) {
      const path = bits === "1" ? "/small" : "/large";
      const options = ["--null-out", "--stat", `--window-bits=${bits}`, "--connection-window-bits=16"];
      assert.match(await output("nghttp", [...options, authority, url(path)], { env }), /\s200\s/);
    }
  });

  for (const [what, options] of [
    ["many streams of a few connections", ["-n", "3000", "-c", "4", "-m", "32"]],
    ["header tables of no size", ["-n", "1000", "-c", "2", "-m", "16", "--header-table-size=0"]],
    ["small encoder tables", ["-n", "1000", "-c", "2", "-m", "16", "--encoder-header-table-size=128"]],
    ["small windows", ["-n", "1000", "-c", "2", "-m", "16", "-w", "3"]],
  ] as const) {
    it(`loses no request of h2load over ${what}`, async () => {
      const said = await output("h2load", [...options, authority, url("/small")], { env });
      const count = options[1];
      assert.match(said, new RegExp(`${count} total, ${count} started, ${count} done, ${count} succeeded, 0 failed`));
      assert.match(said, new RegExp(`status codes: ${count} 2xx`));
    });
  }
});
