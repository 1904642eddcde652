import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClusterLayout, clusterLayout, localKubeconfig, octetOf } from "../../clusters/layout.ts";
import { killProcesses } from "../../clusters/local-cluster.ts";
import { packageRoot } from "../../clusters/node/images.ts";
import {
  isRunning,
  OWNER_VARIABLE,
  ownedProcesses,
  type ProcessRecord,
  runningRecords,
} from "../../clusters/process-record.ts";
import { PORTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { routeName } from "../../core/route-name.ts";
import { type CommandOptions, type CommandResult, output, run } from "./commands.ts";
import { meshAccount } from "./mesh-account.ts";

/** First octets that no demo uses; a cluster of the same mesh comes 10 and 20 further on. */
const OCTETS = [130, 160, 190, 220].flatMap((base) => [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => base + n));

/** Everything here takes seconds; only a state that never comes lasts this long. */
const REACHED_MS = 60_000;
const POLL_MS = 100;

/**
 * The first value of `probe` that is neither false nor undefined. A probe that throws is asked again; its last error
 * is told with `what` when `forMs` are over.
 */
export async function reached<T>(
  what: string,
  probe: () => T | Promise<T>,
  forMs = REACHED_MS,
): Promise<Exclude<T, false | undefined>> {
  const untilMs = performance.now() + forMs;
  for (;;) {
    let last = "";
    try {
      const value = await probe();
      if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
    } catch (error) {
      last = `: ${(error as Error).message}`;
    }
    if (performance.now() > untilMs) throw new Error(`Not within ${forMs} ms: ${what}${last}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

export interface LocalMeshOptions {
  readonly clusters?: readonly string[];
  readonly apps?: boolean;
  /** Replicas of each cluster's gateway. */
  readonly gateways?: number;
  /** Further flags of `mesh up`. */
  readonly flags?: readonly string[];
  /** Over the environment of every command. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Local clusters in a home of their own, with a user's home beside it that they must leave alone. */
export class LocalMesh {
  readonly home: string;
  readonly kubeconfig: string;
  /** kubectl's own default, of a user who has other clusters. */
  readonly usersKubeconfig: string;
  readonly clusters: readonly string[];
  readonly octet: number;
  readonly env: NodeJS.ProcessEnv;
  readonly #directory: string;
  readonly #claim: Server;
  readonly #apps: boolean;
  readonly #gateways: number;
  readonly #flags: readonly string[];
  readonly #onExit = () => this.#destroy();

  private constructor(directory: string, octet: number, claim: Server, options: LocalMeshOptions) {
    const { clusters = ["east", "west"], apps = true, gateways = 1, flags = [], env = {} } = options;
    this.#directory = directory;
    this.#claim = claim;
    this.#apps = apps;
    this.#gateways = gateways;
    this.#flags = flags;
    this.octet = octet;
    this.clusters = clusters;
    this.home = join(directory, "mesh");
    this.kubeconfig = localKubeconfig(this.home);
    this.usersKubeconfig = join(directory, "user", ".kube", "config");
    mkdirSync(join(directory, "user", ".kube"), { recursive: true });
    writeFileSync(this.usersKubeconfig, USERS_KUBECONFIG);
    const { KUBECONFIG: _, [OWNER_VARIABLE]: __, ...rest } = process.env;
    this.env = { ...rest, HOME: join(directory, "user"), MESH_HOME: this.home, NO_COLOR: "1", ...env };
    // A test run that is interrupted leaves no clusters behind either.
    process.once("exit", this.#onExit);
  }

  /** A home and addresses that nobody else uses; nothing runs yet. */
  static async reserve(options: LocalMeshOptions = {}): Promise<LocalMesh> {
    const { octet, claim } = await claimOctet();
    return new LocalMesh(mkdtempSync(join(tmpdir(), "causeway-e2e-")), octet, claim, options);
  }

  /** `mesh up`; whatever an up that failed left is removed. */
  static async start(options: LocalMeshOptions = {}): Promise<LocalMesh> {
    const mesh = await LocalMesh.reserve(options);
    const up = await mesh.mesh(...mesh.upArguments());
    if (up.code === 0) return mesh;
    await mesh.stop();
    throw new Error(`mesh up failed: ${up.stdout}${up.stderr}`);
  }

  upArguments(): string[] {
    const apps = this.#apps ? [] : ["--no-apps"];
    const gateways = this.#gateways === 1 ? [] : ["--gateways", String(this.#gateways)];
    return [
      "up",
      "--octet",
      String(this.octet),
      "--clusters",
      this.clusters.join(","),
      ...gateways,
      ...apps,
      ...this.#flags,
    ];
  }

  layout(cluster: string): ClusterLayout {
    return clusterLayout(this.home, cluster, octetOf(this.clusters.indexOf(cluster), this.octet));
  }

  mesh(...args: string[]): Promise<CommandResult> {
    return this.meshWith({}, ...args);
  }

  meshWith(options: CommandOptions, ...args: string[]): Promise<CommandResult> {
    const env = { ...this.env, ...options.env };
    return run(process.execPath, [join(packageRoot(), "bin", "mesh"), ...args], { ...options, env });
  }

  /** Standard output of a verb that must succeed. */
  meshOutput(...args: string[]): Promise<string> {
    return output(process.execPath, [join(packageRoot(), "bin", "mesh"), ...args], { env: this.env });
  }

  /** What a verb that must succeed prints with `-o json`. */
  async meshJson<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.meshOutput(...args, "-o", "json")) as T;
  }

  #kubectlArguments(cluster: string, args: readonly string[]): string[] {
    return ["--kubeconfig", this.kubeconfig, "--context", cluster, ...args];
  }

  /** Standard output of a kubectl that must succeed. */
  kubectl(cluster: string, ...args: string[]): Promise<string> {
    return output("kubectl", this.#kubectlArguments(cluster, args), { env: this.env });
  }

  kubectlResult(cluster: string, ...args: string[]): Promise<CommandResult> {
    return run("kubectl", this.#kubectlArguments(cluster, args), { env: this.env });
  }

  kubectlApply(cluster: string, manifest: string): Promise<string> {
    const args = this.#kubectlArguments(cluster, ["apply", "-f", "-"]);
    return output("kubectl", args, { env: this.env, input: manifest });
  }

  /** Names of what `kubectl get <args>` lists, as `<kind>/<name>`. */
  async names(cluster: string, ...args: string[]): Promise<string[]> {
    const text = await this.kubectl(cluster, "get", ...args, "-o", "name");
    return text.split("\n").filter((line) => line !== "");
  }

  async json<T>(cluster: string, ...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl(cluster, "get", ...args, "-o", "json")) as T;
  }

  async linkPhase(cluster: string, peer: string): Promise<string> {
    return await this.kubectl(cluster, "get", "link", peer, "-o", "jsonpath={.status.phase}");
  }

  /** Waits until both sides of a link are active. */
  async linkActive(a: string, b: string): Promise<void> {
    for (const [cluster, peer] of [[a, b] as const, [b, a] as const]) {
      await reached(
        `${cluster}'s link to ${peer} is active`,
        async () => (await this.linkPhase(cluster, peer)) === "active",
      );
    }
  }

  /** Waits until `kubectl get service` finds it, or finds it no more. */
  async serviceThere(cluster: string, name: string, there = true): Promise<void> {
    await reached(`service ${name} is ${there ? "" : "not "}in ${cluster}`, async () => {
      const { code, stderr } = await this.kubectlResult(cluster, "-n", "shop", "get", "service", name);
      return there ? code === 0 : stderr.includes("NotFound");
    });
  }

  dig(cluster: string, ...args: string[]): Promise<CommandResult> {
    return run("dig", [`@${this.layout(cluster).dns}`, "+time=2", "+tries=3", ...args]);
  }

  async podAddress(cluster: string, pod: string): Promise<string> {
    return await this.kubectl(cluster, "-n", "shop", "get", "pod", pod, "-o", "jsonpath={.status.podIP}");
  }

  /** curl through the client's sidecar in `cluster`, as an app there would call. */
  async curl(cluster: string, url: string, ...args: string[]): Promise<CommandResult> {
    const sidecar = `http://${await this.podAddress(cluster, "client")}:${PORTS.outbound}`;
    return await run("curl", ["--silent", "--show-error", "--max-time", "20", "--proxy", sidecar, ...args, url]);
  }

  /** Who answers `url`, called by the client in `cluster`. Rejects where the answer is none of web's. */
  async whoami(cluster: string, url: string, ...args: string[]): Promise<WhoAmI> {
    const answer = await this.curl(cluster, `http://${url}/?whoami`, "--fail-with-body", ...args);
    if (answer.code !== 0) throw new Error(`curl ${url}: ${answer.stdout}${answer.stderr}`);
    return JSON.parse(answer.stdout) as WhoAmI;
  }

  /** Waits until `url` is answered by `by`; where that never comes, the error says how the whole mesh looks. */
  async answered(cluster: string, url: string, by: string): Promise<WhoAmI> {
    try {
      return await reached(`${by} answers ${url} called from ${cluster}`, async () => {
        const answer = await this.whoami(cluster, url);
        return answer.cluster === by ? answer : undefined;
      });
    } catch (error) {
      const account = await meshAccount(this, { [cluster]: ["client"] });
      throw new Error(`${(error as Error).message}\n${account}`, { cause: error });
    }
  }

  /** The running process that `run/<name>.json` records. */
  record(cluster: string, name: string): ProcessRecord | undefined {
    return runningRecords(this.layout(cluster).runDirectory).find((record) => record.name === name);
  }

  records(cluster: string): ProcessRecord[] {
    return runningRecords(this.layout(cluster).runDirectory);
  }

  /** SIGKILL to a recorded process; resolves when it is gone. */
  async kill(cluster: string, name: string): Promise<ProcessRecord> {
    const record = this.record(cluster, name);
    assert.ok(record !== undefined, `${name} of ${cluster} runs`);
    process.kill(record.pid, "SIGKILL");
    await reached(`${name} of ${cluster} is dead`, () => !isRunning(record));
    return record;
  }

  /** Waits until the supervisor has started the successor of `before`. */
  async restarted(cluster: string, before: ProcessRecord): Promise<ProcessRecord> {
    return await reached(`${before.name} of ${cluster} is started again`, () => {
      const now = this.record(cluster, before.name);
      return now !== undefined && now.pid !== before.pid ? now : undefined;
    });
  }

  /** Whether an admin endpoint says ready. */
  async ready(host: string): Promise<void> {
    await reached(`${host} is ready`, async () => {
      const response = await fetch(`http://${host}:${PORTS.admin}/ready`, { signal: AbortSignal.timeout(5_000) });
      return response.ok;
    });
  }

  /** The SNI under which `exporter`'s gateway relays to each pod of a service for `peer`: what only the two know. */
  async routeNames(exporter: string, peer: string, service: string, port: number, app = service): Promise<string[]> {
    type Json = { data: Record<string, string>; items: { metadata: { uid: string } }[] };
    const secret = await this.json<Json>(exporter, "-n", SYSTEM_NAMESPACE, "secret", `causeway-link-${peer}`);
    const pods = await this.json<Json>(exporter, "-n", "shop", "pods", "-l", `app=${app}`);
    const field = (name: string) => Buffer.from(secret.data[name] ?? "", "base64");
    const subject = { namespace: "shop", service, port };
    return pods.items.map(({ metadata }) =>
      routeName(
        field("linkSecret"),
        { ...subject, endpoint: metadata.uid },
        BigInt(field("epoch").toString()),
        exporter,
      ),
    );
  }

  /** `mesh down`, and proof that it leaves nothing. */
  async stop(): Promise<void> {
    try {
      const down = await this.mesh("down");
      assert.equal(down.code, 0, down.stderr);
      this.assertNothingLeft();
    } finally {
      await this.dispose();
    }
  }

  assertNothingLeft(): void {
    for (const cluster of this.clusters) {
      assert.deepEqual(ownedProcesses(this.layout(cluster).directory), [], `no process of ${cluster} is left`);
    }
    assert.equal(existsSync(this.home), false, `${this.home} is gone`);
  }

  /** Gives the home and the addresses back, and ends whatever a failed test left. */
  async dispose(): Promise<void> {
    process.off("exit", this.#onExit);
    this.#destroy();
    await new Promise((resolve) => this.#claim.close(resolve));
  }

  #destroy(): void {
    for (const cluster of this.clusters) killProcesses(this.layout(cluster));
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** What the sample web answers to `?whoami`. */
export interface WhoAmI {
  readonly cluster: string;
  readonly pod: string;
  readonly client: string | null;
}

/** What the user's own kubeconfig says before and must say after. */
export const USERS_KUBECONFIG = `apiVersion: v1
kind: Config
current-context: production
clusters: [{ name: production, cluster: { server: "https://192.0.2.1:6443" } }]
contexts: [{ name: production, context: { cluster: production, user: me } }]
users: [{ name: me, user: {} }]
`;

/** Whoever holds 127.<octet>.255.254:65000 has the octet; given back with the process at the latest. */
async function claimOctet(): Promise<{ octet: number; claim: Server }> {
  const first = Math.floor(Math.random() * OCTETS.length);
  for (const octet of [...OCTETS.slice(first), ...OCTETS.slice(0, first)]) {
    const claim = createServer();
    const mine = await new Promise<boolean>((resolve) => {
      claim.once("error", () => resolve(false));
      claim.listen({ host: `127.${octet}.255.254`, port: 65_000 }, () => resolve(true));
    });
    if (mine) return { octet, claim };
  }
  throw new Error("Cannot reserve addresses for a local mesh: other test runs hold all of them.");
}
