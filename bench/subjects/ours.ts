import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../core/clock.ts";
import { pemOf } from "../../identity/certificate.ts";
import { issueLeaf } from "../../identity/certificate-authority.ts";
import { createCsr, parseCsr } from "../../identity/csr.ts";
import type { ServiceState } from "../../protos/gen/causeway/discovery/v1/ServiceState.ts";
import { createTestMesh, type TestMesh } from "../../test/support/mesh-identity.ts";
import { type FakeControl, startFakeControl } from "../../test/support/proxy-world.ts";
import { Missing, type RunningProgram, startProgram } from "../measure/programs.ts";
import { AUTHORITY, type CertificateFiles, SERVER_NAME, type Setting, type Subject } from "./subject.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
/** Two loopback addresses, as two pods have. */
const CLIENT = "127.0.0.1";
const SERVER = "127.0.0.2";

/** The command that runs the product as it is built. @throws Missing */
function meshCommand({ profile }: Setting): readonly [string, ...string[]] {
  if (!existsSync(join(ROOT, "dist", "cli", "main.js"))) throw new Missing("dist/ is not built: npm run build");
  const profiling = profile === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", profile];
  return [process.execPath, ...profiling, join(ROOT, "bin", "mesh")];
}

interface Sidecar {
  readonly running: RunningProgram;
  readonly outboundPort: number;
  readonly inboundPort: number;
}

/** `mesh proxy`, everything on. */
async function startSidecar(setting: Setting, control: FakeControl, name: string, address: string): Promise<Sidecar> {
  const { folder, cores } = setting;
  const tokenFile = join(folder, `token-${name}`);
  await writeFile(tokenFile, "a-token\n", { mode: 0o600 });
  const options = {
    cluster: "east",
    namespace: "shop",
    "service-account": name,
    pod: `${name}-0`,
    address,
    "app-host": "127.0.0.1",
    control: control.address,
    "trust-roots": trustRoots(setting),
    "token-file": tokenFile,
    "outbound-port": "0",
    "inbound-port": "0",
    "admin-port": "0",
    adapter: "handle",
    drain: "0",
  };
  const running = startProgram(cores.subject, [
    ...meshCommand(setting),
    "proxy",
    ...Object.entries(options).flatMap(([option, value]) => [`--${option}`, value]),
  ]);
  const [line] = await running.says(/^.*"msg":"proxy\.started".*$/m);
  const { outboundPort, inboundPort } = JSON.parse(line) as { outboundPort: number; inboundPort: number };
  return { running, outboundPort, inboundPort };
}

/** What control says of the app, reached at `endpoint`. */
function appState(
  setting: Setting,
  endpoint: { readonly address: string; readonly proxyPort: number; readonly identity: string },
  appProtocol = "http",
): ServiceState {
  const app = { id: "web-0", port: setting.appPort, routeName: "", ready: true, zone: "", ...endpoint };
  return {
    authority: `${AUTHORITY}:80`,
    kind: "KIND_SERVICE",
    namespace: "shop",
    name: "web",
    port: 80,
    appProtocol,
    groups: [{ cluster: "", trustDomain: "east.mesh", endpoints: [app] }],
  };
}

interface World {
  readonly mesh: TestMesh;
  readonly control: FakeControl;
  stop(): Promise<void>;
}

/** A cluster's identity, and a control that says what it is told. */
async function startWorld(setting: Setting): Promise<World> {
  meshCommand(setting);
  const life = new AbortController();
  const mesh = await createTestMesh("east", systemClock.wallMs());
  await writeFile(trustRoots(setting), pemOf([mesh.root.certificate]));
  const control = await startFakeControl(mesh, [], life.signal);
  return {
    mesh,
    control,
    async stop() {
      await control.close();
      life.abort();
    },
  };
}

function trustRoots({ folder }: Setting): string {
  return join(folder, "mesh-root.pem");
}

/** One sidecar's outbound side, to an app that has none. */
export function startOurs(setting: Setting): Promise<Subject> {
  return startOutbound(setting, "http");
}

/** The same over HTTP/2 without TLS. */
export function startOursHttp2(setting: Setting): Promise<Subject> {
  return startOutbound(setting, "http2");
}

async function startOutbound(setting: Setting, appProtocol: string): Promise<Subject> {
  const world = await startWorld(setting);
  world.control.service(appState(setting, { address: "127.0.0.1", proxyPort: 0, identity: "" }, appProtocol));
  const client = await startSidecar(setting, world.control, "client", CLIENT);
  return {
    name: "causeway",
    port: client.outboundPort,
    pids: [client.running.pid],
    async stop() {
      await client.running.stop();
      await world.stop();
    },
  };
}

/** Two sidecars with mutual TLS 1.3 between them. */
export async function startOursPair(setting: Setting): Promise<Subject> {
  const world = await startWorld(setting);
  const { mesh, control } = world;
  control.inbound(SERVER, {
    cluster: "east",
    trustDomain: "east.mesh",
    ports: [{ port: setting.appPort, appProtocol: "http", peerTrustDomains: [], namespace: "shop", service: "web" }],
  });
  const server = await startSidecar(setting, control, "web", SERVER);
  const identity = mesh.identity("shop", "web");
  control.service(appState(setting, { address: SERVER, proxyPort: server.inboundPort, identity }));
  const client = await startSidecar(setting, control, "client", CLIENT);
  return {
    name: "causeway",
    port: client.outboundPort,
    pids: [client.running.pid, server.running.pid],
    handshakes: { address: `${SERVER}:${server.inboundPort}`, client: await clientFiles(setting, mesh) },
    async stop() {
      await client.running.stop();
      await server.running.stop();
      await world.stop();
    },
  };
}

/** The certificate of a workload that is no sidecar, for whoever makes handshakes. */
async function clientFiles({ folder }: Setting, mesh: TestMesh): Promise<CertificateFiles> {
  const { privateKey, csrDer } = await createCsr(mesh.identity("shop", "caller"));
  const chain = pemOf(issueLeaf(mesh.authority, parseCsr(csrDer), systemClock.wallMs()));
  const key = privateKey.export({ type: "pkcs8", format: "pem" });
  const files = {
    chain: join(folder, "caller.pem"),
    key: join(folder, "caller.key"),
    both: join(folder, "caller.both.pem"),
  };
  await writeFile(files.chain, chain);
  await writeFile(files.key, key, { mode: 0o600 });
  await writeFile(files.both, `${chain}${key}`, { mode: 0o600 });
  return files;
}

/** `mesh relay`, everything on. */
export async function startOursRelay(setting: Setting): Promise<Subject> {
  const command = meshCommand(setting);
  const file = join(setting.folder, "routes.json");
  await writeFile(file, JSON.stringify({ routes: { [SERVER_NAME]: `127.0.0.1:${setting.appPort}` } }));
  const listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--drain", "0"];
  const running = startProgram(setting.cores.subject, [
    ...command,
    "relay",
    ...["--routes", file, "--adapter", "handle", ...listen],
  ]);
  const [line] = await running.says(/^.*"msg":"relay\.started".*$/m);
  const { port } = JSON.parse(line) as { port: number };
  return { name: "causeway", port, pids: [running.pid], stop: () => running.stop() };
}
