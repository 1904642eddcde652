import { equal, match } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import { hasRedis } from "../clusters/cluster-processes.ts";
import { packageRoot } from "../clusters/node/images.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";
import { createTestAuthority, type TestAuthority } from "./support/openssl-certificates.ts";

/** `mesh relay` in a process of its own. */
class RelayProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  said = "";
  port = 0;
  admin = "";

  private constructor(args: readonly string[], env: NodeJS.ProcessEnv) {
    const own = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    this.child = spawn(process.execPath, [join(packageRoot(), "bin", "mesh"), "relay", ...own, ...args], {
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.said += text;
    });
    this.exited = new Promise((resolve) => this.child.once("exit", resolve));
  }

  static async start(args: readonly string[], env = process.env): Promise<RelayProcess> {
    const relay = new RelayProcess(args, env);
    const line = await reached("mesh relay runs", () => {
      if (relay.child.exitCode !== null) return "";
      return /^.*"msg":"relay\.started".*$/m.exec(relay.said)?.[0];
    });
    if (line === "") throw new Error(`mesh relay ended: ${relay.said}`);
    const { port, adminPort } = JSON.parse(line) as { port: number; adminPort: number };
    relay.port = port;
    relay.admin = `http://127.0.0.1:${adminPort}`;
    return relay;
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.admin}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  }

  dial(servername: string): TLSSocket {
    const socket = connect({ host: "127.0.0.1", port: this.port, servername, rejectUnauthorized: false });
    socket.on("error", () => {});
    return socket;
  }

  async stop(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exited;
  }
}

/** However it ends: a connection that is cut ends with an error. */
function closed(socket: TLSSocket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
}

describe("mesh relay --routes", () => {
  let folder: string;
  let authority: TestAuthority;
  let app: Server;
  let file: string;
  let relay: RelayProcess;

  const route = (names: readonly string[]) => {
    const target = `127.0.0.1:${(app.address() as AddressInfo).port}`;
    writeFileSync(file, JSON.stringify({ routes: Object.fromEntries(names.map((name) => [name, target])) }));
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "causeway-relay-"));
    file = join(folder, "routes.json");
    authority = createTestAuthority();
    app = createServer(authority.issue("a.east.mesh"), (socket) => {
      socket.on("error", () => {});
      socket.pipe(socket);
    });
    app.listen(0, "127.0.0.1");
    await once(app, "listening");
    route(["a.east.mesh", "b.east.mesh"]);
    relay = await RelayProcess.start(["--routes", file, "--drain", "60000"]);
  });

  after(async () => {
    await relay?.stop();
    app.close();
    authority.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it("passes on what asks for a name of the file, and says so", async () => {
    const socket = relay.dial("a.east.mesh");
    await once(socket, "secureConnect");
    socket.write("hello");
    equal(String((await once(socket, "data"))[0]), "hello");
    equal(await (await fetch(`${relay.admin}/ready`)).text(), "ready\n");
    equal(await relay.metric("relay_relayed_total"), 1);
    equal(await relay.metric("relay_routes"), 2);
    socket.destroy();
  });

  it("reads the file again when it changes, cuts what has no route any more, and keeps the last good table", async () => {
    const [a, b] = [relay.dial("a.east.mesh"), relay.dial("b.east.mesh")];
    await Promise.all([once(a, "secureConnect"), once(b, "secureConnect")]);
    route(["b.east.mesh"]);
    relay.child.kill("SIGHUP");
    await closed(a);
    b.write("still");
    equal(String((await once(b, "data"))[0]), "still");
    writeFileSync(file, "{");
    relay.child.kill("SIGHUP");
    const text = await reached("it says what is wrong", async () => {
      const ready = await (await fetch(`${relay.admin}/ready`)).text();
      return ready.startsWith("degraded") ? ready : undefined;
    });
    match(text, /Cannot use the routes in/);
    b.write("still");
    equal(String((await once(b, "data"))[0]), "still");
    b.destroy();
  });

  it("drains on SIGTERM: takes nothing new, ends when the last connection does", async () => {
    const socket = relay.dial("b.east.mesh");
    await once(socket, "secureConnect");
    relay.child.kill("SIGTERM");
    await reached("it accepts no more", async () => {
      const probe = connectTcp({ host: "127.0.0.1", port: relay.port });
      const outcome = await Promise.race([
        once(probe, "connect").then(() => "open"),
        once(probe, "error").then(() => "refused"),
      ]).catch(() => "refused");
      probe.destroy();
      return outcome === "refused";
    });
    equal((await fetch(`${relay.admin}/ready`)).status, 503);
    socket.write("last");
    equal(String((await once(socket, "data"))[0]), "last");
    socket.end();
    equal(await relay.exited, 0);
    match(relay.said, /"cut":0,"msg":"relay\.drained"/);
  });

  it("says what is wrong with how it is called", async () => {
    const wrong = async (...args: string[]) => {
      const child = spawn(process.execPath, [join(packageRoot(), "bin", "mesh"), "relay", ...args], { stdio: "pipe" });
      let said = "";
      child.stderr.on("data", (text: Buffer) => {
        said += text.toString();
      });
      const [code] = await once(child, "close");
      return `${code} ${said}`;
    };
    match(await wrong(), /^2 USAGE: Cannot relay without a registry/);
    match(await wrong("--routes", join(folder, "absent")), /^2 USAGE: Cannot use the routes in .*ENOENT/);
    match(await wrong("--routes", file, "--registry", "redis://127.0.0.1:1"), /^2 USAGE: .*give one of them/);
  });
});

describe("mesh relay --registry, beside a cluster's gateway", () => {
  let mesh: LocalMesh;
  let relay: RelayProcess;

  before(async function () {
    if (!hasRedis()) this.skip();
    mesh = await LocalMesh.start();
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    await mesh.answered("west", "web-east.shop.svc.cluster.local", "east");
    const { redis, redisDirectory } = mesh.layout("east");
    const registry = ["--registry", `redis://${redis.host}:${redis.port}`];
    const password = ["--registry-password-file", join(redisDirectory, "password")];
    relay = await RelayProcess.start(["--context", "east", ...registry, ...password], mesh.env);
  });

  after(async () => {
    await relay?.stop();
    await mesh?.stop();
  });

  it("leads to the same workload as the gateway, until the export ends", async () => {
    const [route = ""] = await mesh.routeNames("east", "west", "web", 80);
    await reached("it has routes", async () => (await relay.metric("relay_routes")) > 0);
    const socket = relay.dial(route);
    await once(socket, "secureConnect");
    match(socket.getPeerCertificate().subjectaltname ?? "", /spiffe:\/\/east\.mesh\/ns\/shop\/sa\/web/);
    await closed(socket);
    await mesh.meshOutput("unexport", "shop/web", "--context", "east");
    await reached("it has none", async () => (await relay.metric("relay_routes")) === 0);
  });
});
