import { deepEqual, equal, match, ok } from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../clusters/node/images.ts";
import { systemClock } from "../core/clock.ts";
import type { ServiceState } from "../protos/gen/causeway/discovery/v1/ServiceState.ts";
import { output } from "./support/commands.ts";
import { eventually } from "./support/eventually.ts";
import { createTestMesh } from "./support/mesh-identity.ts";
import { link, NetworkNamespace, namespacesMissing } from "./support/network-namespaces.ts";
import { OpenSsl } from "./support/openssl.ts";
import { type FakeControl, startFakeControl } from "./support/proxy-world.ts";

const PROXY_UID = 2102;
const APP_UID = 3000;
const MESH = join(packageRoot(), "bin", "mesh");
const CLIENT = "10.77.1.2";
const SERVER = "10.77.1.3";
const SERVER6 = "fd77:1::3";
const VIP = "10.96.0.10";
const VIP6 = "fd96::10";
const DETECT_MS = 400;

/** What runs beside the server's proxy: HTTP, TLS, a greeting as MySQL's, and one that greets and echoes. */
const APPS = `
const { createServer } = require("node:http"), net = require("node:net"), tls = require("node:tls"), fs = require("node:fs");
const http = (name) => (q, s) => s.end(name + " " + q.url + " host=" + q.headers.host + " client=" + (q.headers["x-causeway-client-id"] ?? "none") + "\\n");
const [key, cert] = process.argv.slice(1);
const each = [
  createServer(http("web")).listen(8080, "::"),
  require("node:http2").createServer((q, s) => s.end("h2 " + q.url + " client=" + q.headers["x-causeway-client-id"] + "\\n")).listen(8082, "::"),
  createServer(http("plain")).listen(9080, "::"),
  tls.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) }, (c) => { c.on("error", () => {}); c.end("HTTP/1.1 200 OK\\r\\ncontent-length: 4\\r\\nconnection: close\\r\\n\\r\\ntls\\n"); }).listen(8443, "::"),
  net.createServer((c) => { c.on("error", () => {}); c.end(Buffer.from("4a0000000a382e302e3336", "hex")); }).listen(3306, "::"),
  net.createServer((c) => { c.on("error", () => {}); c.write("ready\\n"); c.once("data", (d) => c.end(d)); }).listen(7000, "::"),
];
let left = each.length;
for (const server of each) server.on("listening", () => { if (--left === 0) console.log("listening"); });
`;

/** Connects, says what it is told after that many ms, and prints all that comes. */
const RAW_CLIENT = `
const [host, port, text, afterMs] = process.argv.slice(1);
const c = require("node:net").connect({ host, port: Number(port) });
c.on("error", (e) => { console.log(e.code); });
c.on("data", (d) => process.stdout.write(d));
c.on("end", () => c.end());
c.on("connect", () => { if (text) setTimeout(() => c.write(text), Number(afterMs)); });
`;

/** Two namespaces, an app with its proxy in each, and control outside. */
function interceptionSuite(mode: "redirect" | "tproxy"): void {
  const undo: (() => unknown)[] = [];
  const life = new AbortController();
  let control: FakeControl;
  let client: NetworkNamespace;
  let server: NetworkNamespace;
  let log: () => string;
  let startProxy: (
    namespace: NetworkNamespace,
    name: string,
    address: string,
    more?: readonly string[],
  ) => ChildProcess;

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), "causeway-intercept-"));
    undo.push(() => rmSync(folder, { recursive: true, force: true }));
    chmodSync(folder, 0o755);
    client = new NetworkNamespace();
    undo.push(() => client.close());
    server = new NetworkNamespace();
    undo.push(() => server.close());
    const subnet = 16 + (process.pid % 200);
    link(client, [`${CLIENT}/24`, "fd77:1::2/64"], server, [`${SERVER}/24`, `${SERVER6}/64`]);
    link(client, [`10.78.${subnet}.2/30`], undefined, [`10.78.${subnet}.1/30`]);
    link(server, [`10.79.${subnet}.2/30`], undefined, [`10.79.${subnet}.1/30`]);
    client.ip("route", "add", "default", "via", SERVER);
    client.ip("-6", "route", "add", "default", "via", SERVER6);

    const mesh = await createTestMesh("east", systemClock.wallMs());
    // Listens on every address, so that both namespaces reach it.
    control = await startFakeControl(mesh, [], life.signal, 0, "0.0.0.0");
    undo.push(() => control.close());
    undo.push(() => life.abort());
    const controlPort = control.address.split(":")[1];
    const roots = join(folder, "roots.pem");
    writeFileSync(roots, mesh.root.certificate.toString());
    const token = join(folder, "token");
    writeFileSync(token, "a-token\n");

    using openssl = new OpenSsl();
    openssl.certificate("app", "app", "subjectAltName=DNS:db.shop.svc.cluster.local,DNS:outside.example\n");
    for (const name of ["app.key", "app.pem"]) writeFileSync(join(folder, name), openssl.read(name));
    const apps = server.start(APP_UID, process.execPath, [
      "-e",
      APPS,
      join(folder, "app.key"),
      join(folder, "app.pem"),
    ]);
    await says(apps, "listening");

    startProxy = (namespace, name, address, more = []) =>
      namespace.start(
        PROXY_UID,
        process.execPath,
        [
          ...[MESH, "proxy", "--cluster", "east", "--namespace", "shop", "--service-account", name],
          ...["--pod", `${name}-0`, "--address", address, "--trust-roots", roots, "--token-file", token],
          ...["--control", `10.${name === "web" ? 79 : 78}.${subnet}.1:${controlPort}`],
          ...["--intercept", mode, "--detect-timeout", String(DETECT_MS)],
          ...["--inbound-plain", name === "web" ? "allow" : "deny", ...more],
        ],
        { ...process.env, MESH_LOG_LEVEL: "debug" },
        mode === "tproxy" ? ["net_admin"] : [],
      );
    control.inbound(SERVER, {
      cluster: "east",
      trustDomain: "east.mesh",
      ports: [8080, 8443, 3306, 7000].map((port) => ({ port, namespace: "shop", service: "web" })),
    });
    for (const namespace of [client, server]) await initialise(namespace);
    const serving = startProxy(server, "web", SERVER);
    const calling = startProxy(client, "client", CLIENT);
    const lines = collect(calling);
    log = () => lines.text;
    await Promise.all([says(serving, "proxy.started"), says(calling, "proxy.started")]);
    publish();
  });
  after(async () => {
    for (const step of undo.reverse()) await step();
  });

  async function initialise(namespace: NetworkNamespace, ...more: string[]): Promise<void> {
    await output("ip", [
      ...["netns", "exec", namespace.name, process.execPath, MESH, "proxy-init", "--proxy-uid", String(PROXY_UID)],
      ...["--mode", mode],
      // In the server's namespace also what is outside of the mesh has to live.
      ...["--skip-inbound-ports", "9080,7000", ...more],
    ]);
  }

  function publish(): void {
    const identity = control.mesh.identity("shop", "web");
    const service = (authority: string, port: number, more: Partial<ServiceState> = {}): ServiceState => ({
      authority,
      kind: "KIND_SERVICE",
      namespace: "shop",
      name: "web",
      groups: [
        {
          trustDomain: "east.mesh",
          endpoints: [{ id: `${port}`, address: SERVER, port, proxyPort: 4143, identity, ready: true }],
        },
      ],
      ...more,
    });
    control.service(service(`${VIP}:80`, 8080));
    control.service(service(`[${VIP6}]:80`, 8080));
    control.service(service(`${VIP}:82`, 8082));
    control.service(service(`${VIP}:8443`, 8443));
    control.service(service(`${VIP}:3306`, 3306));
    control.service(service(`${VIP}:7000`, 7000));
    control.service(service("db.shop.svc.cluster.local:9999", 8443));
    control.fallback((authority) =>
      authority.startsWith(VIP) ? { kind: "KIND_NOT_FOUND" } : { kind: "KIND_EXTERNAL" },
    );
  }

  const curl = (uid: number, ...args: string[]) =>
    client.run(uid, "curl", ["-sS", "--max-time", "10", "--noproxy", "*", ...args]);
  const raw = (host: string, port: number, text = "", afterMs = 0, uid = APP_UID) =>
    client.run(uid, process.execPath, ["-e", RAW_CLIENT, host, String(port), text, String(afterMs)]);
  const metrics = async (namespace: NetworkNamespace, address: string) =>
    (await namespace.run(PROXY_UID, "curl", ["-sS", `http://${address}:4191/metrics`])).stdout;

  it("carries HTTP/1.1 to the service of a virtual address over mutual TLS, whatever Host says", async () => {
    const { stdout, stderr } = await curl(
      APP_UID,
      "-H",
      "Host: elsewhere.example",
      `http://${VIP}/a`,
      `http://${VIP}/b`,
    );
    const id = "client=spiffe://east.mesh/ns/shop/sa/client";
    equal(stdout, `web /a host=elsewhere.example ${id}\nweb /b host=elsewhere.example ${id}\n`, stderr);
    match(await metrics(client, CLIENT), new RegExp(`request_total\\{[^}]*authority="${VIP}:80"[^}]*} 2`));
  });

  it("does so over IPv6", async () => {
    const { stdout, stderr } = await curl(APP_UID, `http://[${VIP6}]/six`);
    match(stdout, /^web \/six host=\[fd96::10\] client=spiffe:/, stderr);
  });

  it("carries HTTP/2 by request too", async () => {
    const { stdout, stderr } = await curl(APP_UID, "--http2-prior-knowledge", `http://${VIP}:82/two`);
    equal(stdout, "h2 /two client=spiffe://east.mesh/ns/shop/sa/client\n", stderr);
  });

  it("passes the app's TLS through, by address, and by server name where the address says nothing", async () => {
    const name = "db.shop.svc.cluster.local";
    const byAddress = await curl(APP_UID, "-k", "--connect-to", `::${VIP}:8443`, `https://${name}:8443/`);
    equal(byAddress.stdout, "tls\n", byAddress.stderr);
    // Nothing listens there: only the name leads anywhere.
    const byName = await curl(APP_UID, "-k", "--connect-to", `::${SERVER}:9999`, `https://${name}:9999/`);
    equal(byName.stdout, "tls\n", byName.stderr);
    match(
      await metrics(client, CLIENT),
      /tls_passthrough_total\{direction="outbound",server_name="db.shop.svc.cluster.local"} 2/,
    );
  });

  it("lets a server speak first on an opaque port", async () => {
    const { stdout } = await raw(VIP, 3306);
    ok(stdout.includes("8.0.36"), stdout);
    ok(!log().includes("detection.timeout"));
  });

  it("gives a silent client up after the time for detection, and says so", async () => {
    const { stdout } = await raw(VIP, 7000, "bye\n", 2 * DETECT_MS);
    equal(stdout, "ready\nbye\n");
    await eventually(() => log().includes("detection.timeout"));
    match(log(), /appProtocol: opaque/);
  });

  it("passes what is outside of the mesh to where it was going, whoever speaks first", async () => {
    match((await curl(APP_UID, `http://${SERVER}:9080/out`)).stdout, /^plain \/out host=10\.77\.1\.3:9080 client=none/);
    match((await curl(APP_UID, `http://[${SERVER6}]:9080/out`)).stdout, /^plain \/out/);
    equal((await raw(SERVER, 7000, "x\n", 1)).stdout, "ready\nx\n");
  });

  it("refuses a port that the service does not have, and connections to the proxy itself", async () => {
    // A reset may be seen by the connect already.
    ok([7, 56].includes((await curl(APP_UID, `http://${VIP}:81/`)).code));
    const { stdout } = await client.run(APP_UID, "curl", [
      "-s",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      `http://${CLIENT}:4140/`,
    ]);
    equal(stdout, "000");
  });

  it("lets the proxy's own connections through, and serves callers outside of the mesh as such", async () => {
    const before = await metrics(client, CLIENT);
    for (const host of [SERVER, `[${SERVER6}]`]) {
      const { stdout, stderr } = await curl(
        PROXY_UID,
        "-H",
        "x-causeway-client-id: spiffe://forged",
        `http://${host}:8080/own`,
      );
      match(stdout, /^web \/own host=\S+ client=none\n$/, stderr);
    }
    const http2 = await curl(PROXY_UID, "--http2-prior-knowledge", `http://${SERVER}:8082/own`);
    equal(http2.stdout, "h2 /own client=undefined\n", http2.stderr);
    const tls = await curl(PROXY_UID, "-k", `https://${SERVER}:8443/`);
    equal(tls.stdout, "tls\n", tls.stderr);
    ok((await raw(SERVER, 3306, "", 0, PROXY_UID)).stdout.includes("8.0.36"));
    equal(
      (await metrics(client, CLIENT)).match(/tcp_open_total.*/g)?.join(),
      before.match(/tcp_open_total.*/g)?.join(),
    );
    const inbound = await metrics(server, SERVER);
    match(inbound, /request_total\{direction="inbound",authority="shop\/web:8080",client_id="",[^}]*} 2/);
    match(inbound, /request_total\{direction="inbound",authority="[^"]*:8082",client_id="",[^}]*} 1/);
  });

  it("takes TLS of the mesh also where it was redirected", async () => {
    const args = ["s_client", "-connect", `${SERVER}:8080`, "-alpn", "causeway/1", "-tls1_3"];
    const { stdout } = await client.run(PROXY_UID, "openssl", args);
    match(stdout, /ALPN protocol: causeway\/1/);
  });

  it("lets nobody without an identity in where that is denied", async () => {
    const { code } = await server.run(PROXY_UID, "curl", ["-sS", "--max-time", "5", `http://${CLIENT}:8080/`]);
    equal(code, 56);
    match(await metrics(client, CLIENT), /inbound_http_authz_deny_total\{[^}]*authority=":8080",client_id="",[^}]*} 1/);
  });

  // Rules that take the proxy's own connections for the app's.
  const others = ["--proxy-uid", "9999"];

  it("does not start where its own connections come back, and says why", async () => {
    const ports = ["--outbound-port", "4150", "--inbound-port", "4153", "--admin-port", "4151"];
    await initialise(client, ...others, ...ports);
    const child = startProxy(client, "client", CLIENT, ports);
    const lines = collect(child);
    const [code] = (await once(child, "close")) as [number];
    ok(code > 0, lines.text);
    match(lines.text, /INTERCEPTION/);
    match(lines.text, /redirected back to it.*runs as uid 2102: run mesh proxy-init with --proxy-uid 2102/);
  });

  it("refuses a connection at its first return where the rules came later, and serves once they are right", async () => {
    const url = `http://${SERVER}:9080/turned`;
    await initialise(client);
    await eventually(async () => (await curl(APP_UID, url)).stdout.startsWith("plain /turned"));
    const counted = async (pattern: RegExp) => Number(pattern.exec(await metrics(client, CLIENT))?.[1] ?? 0);
    const refused = /outbound_transparent_refused_total\{code="INTERCEPTION"} (\d+)/;
    const opened = /\ntcp_open_total\{[^}]*authority="10\.77\.1\.3:9080"[^}]*} (\d+)/;
    const before = await counted(opened);
    ok(before > 0);
    equal(await counted(refused), 0);
    await initialise(client, ...others);
    ok([7, 52, 56].includes((await curl(APP_UID, url)).code));
    ok((await counted(refused)) > 0);
    ok((await counted(opened)) <= before + 1, "it went round");
    ok(log().includes("outbound.loop.refused"));
    await initialise(client);
    await eventually(async () => (await curl(APP_UID, url)).stdout.startsWith("plain /turned"));
  });

  it("applies its rules again without doubling them, and removes them", async () => {
    const ruleset = () => output("ip", ["netns", "exec", client.name, "nft", "list", "ruleset"]);
    const rules = await ruleset();
    await initialise(client);
    equal(await ruleset(), rules);
    for (let i = 0; i < 2; i++)
      await output("ip", ["netns", "exec", client.name, process.execPath, MESH, "proxy-init", "--remove"]);
    equal(await ruleset(), "");
    deepEqual((await curl(APP_UID, `http://${SERVER}:9080/direct`)).stdout.slice(0, 13), "plain /direct");
    const rule = await output("ip", ["-n", client.name, "rule"]);
    ok(!rule.includes("fwmark"), rule);
  });
}

for (const mode of ["redirect", "tproxy"] as const) {
  describe(`interception in network namespaces, by ${mode}`, () => {
    const missing = namespacesMissing();
    if (missing === undefined) interceptionSuite(mode);
    else it(`is skipped: ${missing}`);
  });
}

function collect(child: ChildProcess): { text: string } {
  const lines = { text: "" };
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (data: string) => {
      lines.text += data;
    });
  return lines;
}

/** Waits until a process has said something; fails with all it said where it ends first. */
async function says(child: ChildProcess, what: string): Promise<void> {
  const lines = collect(child);
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(`It ended: ${lines.text}`);
    return lines.text.includes(what);
  }, 30_000);
}
