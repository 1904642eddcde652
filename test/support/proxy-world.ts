import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { systemClock } from "../../core/clock.ts";
import { SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import { notAfterMs } from "../../identity/certificate.ts";
import { issueLeaf } from "../../identity/certificate-authority.ts";
import { parseCsr } from "../../identity/csr.ts";
import { type GrpcListener, listenGrpc } from "../../identity/grpc-server.ts";
import { encodeTrust } from "../../identity/trust-state.ts";
import type { DiscoveryHandlers } from "../../protos/gen/causeway/discovery/v1/Discovery.ts";
import type { InboundState } from "../../protos/gen/causeway/discovery/v1/InboundState.ts";
import type { LinkState } from "../../protos/gen/causeway/discovery/v1/LinkState.ts";
import type { ServiceState } from "../../protos/gen/causeway/discovery/v1/ServiceState.ts";
import type { WatchRequest__Output } from "../../protos/gen/causeway/discovery/v1/WatchRequest.ts";
import type { WatchResponse } from "../../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import type { IdentityHandlers } from "../../protos/gen/causeway/identity/v1/Identity.ts";
import { loadDiscovery, loadIdentity } from "../../protos/load.ts";
import { type ProxyOptions, type RunningProxy, startProxy } from "../../proxy/start-proxy.ts";
import type { WorkloadOptions } from "../../proxy/workload-proxy.ts";
import { parseClientHello } from "../../transport/client-hello.ts";
import { createTestMesh, type TestMesh } from "./mesh-identity.ts";

type WatchCall = ServerDuplexStream<WatchRequest__Output, WatchResponse>;

/** A scripted control: signs what it is asked to, and says what the test tells it to. */
export interface FakeControl {
  readonly address: string;
  readonly mesh: TestMesh;
  /** Authorities that proxies have subscribed to. */
  readonly subscribed: ReadonlySet<string>;
  readonly watchers: number;
  service(state: ServiceState): void;
  /** Answers whatever was not scripted. */
  fallback(answer: (authority: string) => ServiceState | undefined): void;
  links(links: readonly LinkState[]): void;
  inbound(address: string, state: InboundState): void;
  close(): Promise<void>;
}

export async function startFakeControl(
  mesh: TestMesh,
  peers: readonly TrustBundle[],
  signal: AbortSignal,
  port = 0,
  host = "127.0.0.1",
): Promise<FakeControl> {
  const own = await mesh.workload(
    mesh.identity(SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.control),
    peers,
    systemClock,
    signal,
  );
  const services = new Map<string, ServiceState>();
  const inbounds = new Map<string, InboundState>();
  const subscribed = new Set<string>();
  const calls = new Map<WatchCall, { address: string; authorities: Set<string> }>();
  let links: readonly LinkState[] = [];
  let fallback: (authority: string) => ServiceState | undefined = () => undefined;
  const stateOf = (authority: string) => services.get(authority) ?? fallback(authority);
  const subscribe = (call: WatchCall, authorities: readonly string[]) => {
    for (const authority of authorities) {
      subscribed.add(authority);
      calls.get(call)?.authorities.add(authority);
      const state = stateOf(authority);
      if (state !== undefined) call.write({ service: { ...state, authority } });
    }
  };
  const greet = (call: WatchCall, address: string) => {
    const known = calls.get(call);
    if (known !== undefined) known.address = address;
    if (links.length > 0) call.write({ links: { links: [...links] } });
    const inbound = inbounds.get(address);
    if (inbound !== undefined) call.write({ inbound });
  };
  const listener: GrpcListener = await listenGrpc({
    host,
    port,
    source: own.source,
    trust: own.trust,
    clock: systemClock,
    log: silentLog,
    anonymousMethods: ["/causeway.identity.v1.Identity/Certify"],
    services(server) {
      const identity: IdentityHandlers = {
        Certify(call, callback) {
          const chain = issueLeaf(mesh.authority, parseCsr(call.request.csr), systemClock.wallMs());
          const [leaf] = chain;
          callback(null, {
            chain: chain.map((certificate) => certificate.raw),
            notAfterMs: leaf === undefined ? 0 : notAfterMs(leaf),
            trust: encodeTrust(own.trust.bundles.values()),
          });
        },
        WatchTrust(call) {
          call.write(encodeTrust(own.trust.bundles.values()));
          call.on("cancelled", () => call.end());
        },
      };
      server.addService(loadIdentity().Identity.service, identity);
      const discovery: DiscoveryHandlers = {
        Watch(call) {
          calls.set(call, { address: "", authorities: new Set() });
          call.on("data", (message: WatchRequest__Output) => {
            if (message.hello) greet(call, message.hello.address);
            if (message.subscribe) subscribe(call, message.subscribe.authorities);
          });
          const gone = () => {
            calls.delete(call);
            call.end();
          };
          call.on("cancelled", gone);
          call.on("error", gone);
          call.on("end", gone);
        },
      };
      server.addService(loadDiscovery().Discovery.service, discovery);
    },
  });
  return {
    address: `${host}:${listener.port}`,
    mesh,
    subscribed,
    get watchers() {
      return calls.size;
    },
    service(state) {
      services.set(state.authority ?? "", state);
      for (const [call, { authorities }] of calls) {
        if (authorities.has(state.authority ?? "")) call.write({ service: state });
      }
    },
    fallback(answer) {
      fallback = answer;
    },
    links(next) {
      links = next;
      for (const call of calls.keys()) call.write({ links: { links: [...links] } });
    },
    inbound(address, state) {
      inbounds.set(address, state);
      for (const [call, known] of calls) if (known.address === address) call.write({ inbound: state });
    },
    close: () => listener.close(0),
  };
}

export interface TestApp {
  readonly port: number;
  /** TCP connections that were accepted so far. */
  readonly accepted: number;
  close(): Promise<void>;
}

/** An app on loopback. */
export async function startApp(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  adjust: (server: Server) => void = () => {},
  host = "127.0.0.1",
): Promise<TestApp> {
  const server = createServer(handle);
  adjust(server);
  let accepted = 0;
  server.on("connection", () => accepted++);
  await new Promise<void>((resolve) => server.listen({ host, port: 0 }, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get accepted() {
      return accepted;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface AskOptions {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly agent?: import("node:http").Agent;
}

/** One request in absolute-form through the proxy at `proxyPort`, as HTTP_PROXY makes clients send it. */
export function ask(proxyPort: number, authority: string, options: AskOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: "127.0.0.1",
        port: proxyPort,
        method: options.method ?? "GET",
        path: `http://${authority}${options.path ?? "/"}`,
        headers: { host: authority, ...options.headers },
        ...(options.agent === undefined ? { agent: false } : { agent: options.agent }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString("utf8"),
          }),
        );
      },
    );
    outgoing.on("error", reject);
    outgoing.end(options.body);
  });
}

export interface ProxyWorld {
  readonly control: FakeControl;
  readonly signal: AbortSignal;
  /** What a proxy of `serviceAccount` in namespace `shop` is told. */
  workload(serviceAccount: string, listen?: Partial<WorkloadOptions["listen"]>): WorkloadOptions;
  /** A sidecar of it. */
  proxy(serviceAccount: string, more?: Partial<ProxyOptions>, control?: FakeControl): Promise<RunningProxy>;
  /** Says that port 80 of `web.shop` is one app, behind a proxy of ServiceAccount `web`. */
  web(appPort: number, inboundPort: number): void;
  /** Closed at the end, last first. */
  later(undo: () => unknown): void;
  close(): Promise<void>;
}

/** A cluster's control and as many sidecars as a test wants, in this process. */
export async function createProxyWorld(cluster = "east", peers: readonly TrustBundle[] = []): Promise<ProxyWorld> {
  const life = new AbortController();
  const undo: (() => unknown)[] = [];
  const folder = await mkdtemp(join(tmpdir(), "causeway-proxy-"));
  undo.push(() => rm(folder, { recursive: true, force: true }));
  const tokenFile = join(folder, "token");
  await writeFile(tokenFile, "a-token\n", { mode: 0o600 });
  const mesh = await createTestMesh(cluster, systemClock.wallMs());
  const control = await startFakeControl(mesh, peers, life.signal);
  undo.push(() => control.close());
  undo.push(() => life.abort());
  const workload = (
    serviceAccount: string,
    listen: Partial<WorkloadOptions["listen"]> = {},
    by = control,
  ): WorkloadOptions => ({
    workload: { namespace: "shop", serviceAccount, pod: `${serviceAccount}-0`, address: serviceAccount },
    listen: { host: "127.0.0.1", outboundPort: 0, inboundPort: 0, ...listen },
    app: { host: "127.0.0.1" },
    controlAddresses: [by.address],
    trustRootsDer: by.mesh.authority.bundle.x509Authorities,
    tokenFile,
    trustDomain: by.mesh.authority.trustDomain,
  });
  return {
    control,
    signal: life.signal,
    later: (step) => void undo.push(step),
    workload,
    web(port, proxyPort) {
      const identity = mesh.identity("shop", "web");
      const endpoints = [{ id: "w", address: "127.0.0.1", port, proxyPort, identity, ready: true }];
      const groups = [{ trustDomain: mesh.authority.trustDomain, endpoints }];
      control.service({ authority: "web.shop:80", kind: "KIND_SERVICE", groups });
    },
    async proxy(serviceAccount, more = {}, by = control) {
      const { listen, ...options } = workload(serviceAccount, {}, by);
      const proxy = await startProxy(
        { ...options, listen: { ...listen, adminPort: 0 }, adapter: "auto", ...more },
        { clock: systemClock, random: seededRandom(7), log: silentLog, signal: life.signal },
      );
      undo.push(() => proxy.close());
      return proxy;
    },
    async close() {
      for (const step of undo.reverse()) await step();
    },
  };
}

export interface TestRelay {
  readonly port: number;
  /** Nothing passes, in either direction, and nothing is closed, until it is called with false. */
  hold(held: boolean): void;
  close(): Promise<void>;
}

/** Passes every connection on to the port for its SNI: what a gateway's relay does once it has found the route. */
export async function startRelay(port: (servername: string) => number): Promise<TestRelay> {
  const sockets = new Set<Socket>();
  const joined = new Set<readonly [Socket, Socket]>();
  let held = false;
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", (first) => {
      const hello = parseClientHello(first);
      const on = connect({ host: "127.0.0.1", port: port(hello.kind === "hello" ? hello.serverName : "") });
      on.write(first);
      for (const pair of [
        [socket, on],
        [on, socket],
      ] as const) {
        const [end, other] = pair;
        sockets.add(end);
        joined.add(pair);
        if (!held) end.pipe(other);
        end.on("error", () => other.destroy());
        end.on("close", () => {
          sockets.delete(end);
          joined.delete(pair);
          other.destroy();
        });
      }
    });
  });
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    hold: (hold) => {
      if (hold === held) return;
      held = hold;
      for (const [end, other] of joined) {
        if (hold) end.unpipe(other).pause();
        else end.pipe(other);
      }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

export interface RawClient {
  readonly socket: Socket;
  /** All that came so far. */
  readonly text: string;
  send(text: string | Buffer): void;
  /** Waits until what came satisfies `done`. Rejects when the connection ends first. */
  until(done: (text: string) => boolean): Promise<string>;
  /** Waits for the end of the connection; all that came. */
  ended(): Promise<string>;
}

/** A client that says exactly what it is told, on a TCP connection of its own. */
export async function rawClient(port: number): Promise<RawClient> {
  const socket = connect({ host: "127.0.0.1", port });
  let text = "";
  let over = false;
  let wake = () => {};
  socket.setEncoding("latin1");
  socket.on("data", (data: string) => {
    text += data;
    wake();
  });
  socket.on("error", () => {});
  for (const event of ["end", "close"]) {
    socket.on(event, () => {
      over = true;
      wake();
    });
  }
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  const change = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  return {
    socket,
    get text() {
      return text;
    },
    send: (data) => void socket.write(data),
    async until(done) {
      while (!done(text)) {
        if (over) throw new Error(`The connection ended after ${JSON.stringify(text)}`);
        await change();
      }
      return text;
    },
    async ended() {
      while (!over) await change();
      socket.destroy();
      return text;
    },
  };
}

/** A process of its own that answers every request with `body`; to be killed. */
export async function spawnApp(body: string): Promise<{ readonly port: number; kill(): Promise<void> }> {
  const source = `require("node:http").createServer((q, s) => setTimeout(() => s.end(${JSON.stringify(body)}), 5))
    .listen(0, "127.0.0.1", function () { process.stdout.write(String(this.address().port) + "\\n"); });`;
  const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
  const port = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error("The app ended early.")));
    child.stdout.once("data", (data: Buffer) => resolve(Number(data.toString())));
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    port,
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
