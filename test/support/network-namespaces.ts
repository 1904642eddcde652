import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { type CommandResult, run } from "./commands.ts";

/** Why there can be no network namespaces here; undefined where there can. */
export function namespacesMissing(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs Linux and root";
  for (const program of ["ip", "nft", "setpriv", "curl"])
    if (spawnSync(program, ["--version"]).error !== undefined && spawnSync(program, ["-V"]).error !== undefined)
      return `needs ${program}`;
  const name = `cw${randomBytes(3).toString("hex")}`;
  const made = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
  spawnSync("ip", ["netns", "del", name]);
  return made.status === 0 ? undefined : `ip netns: ${made.stderr.trim()}`;
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}

/** A network namespace of its own name, with loopback; processes in it are its to end. */
export class NetworkNamespace {
  readonly name = `cw${randomBytes(4).toString("hex")}`;
  readonly #children = new Set<ChildProcess>();

  constructor() {
    ip("netns", "add", this.name);
    this.ip("link", "set", "lo", "up");
  }

  ip(...args: string[]): void {
    ip("-n", this.name, ...args);
  }

  /** Runs a program in it as `uid` to its end. */
  run(uid: number, file: string, args: readonly string[], input?: string): Promise<CommandResult> {
    return run("ip", this.#command(uid, file, args), { limitMs: 15_000, ...(input === undefined ? {} : { input }) });
  }

  /** Starts a program in it as `uid`; it is ended with the namespace. */
  start(
    uid: number,
    file: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = process.env,
    capabilities: readonly string[] = [],
  ): ChildProcess {
    const child = spawn("ip", this.#command(uid, file, args, capabilities), { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  #command(uid: number, file: string, args: readonly string[], capabilities: readonly string[] = []): string[] {
    const as = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
    const able = capabilities.flatMap((name) => [`--inh-caps=+${name}`, `--ambient-caps=+${name}`]);
    return ["netns", "exec", this.name, ...as, ...able, file, ...args];
  }

  /** Ends its processes and takes it away, with the links into it. */
  async close(): Promise<void> {
    const exits = [...this.#children].map(
      (child) => new Promise<void>((resolve) => child.once("exit", () => resolve())),
    );
    // `ip netns exec` and setpriv become the program, so this is the program itself.
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(exits);
    spawnSync("ip", ["netns", "del", this.name]);
  }
}

/** Joins two namespaces, or one and this machine's own (`undefined`), by a pair of interfaces with these addresses. */
export function link(
  first: NetworkNamespace,
  firstAddresses: readonly string[],
  second: NetworkNamespace | undefined,
  secondAddresses: readonly string[],
): void {
  const id = randomBytes(4).toString("hex");
  const [one, two] = [`cwa${id}`, `cwb${id}`];
  const peer = second === undefined ? [] : ["netns", second.name];
  ip("link", "add", one, "netns", first.name, "type", "veth", "peer", "name", two, ...peer);
  for (const [own, name, addresses] of [
    [first, one, firstAddresses],
    [second, two, secondAddresses],
  ] as const) {
    const inside = own === undefined ? [] : ["-n", own.name];
    for (const address of addresses)
      ip(...inside, "address", "add", address, "dev", name, ...(address.includes(":") ? ["nodad"] : []));
    ip(...inside, "link", "set", name, "up");
  }
}
