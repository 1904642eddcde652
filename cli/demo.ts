import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dnsPort } from "../clusters/cluster-processes.ts";
import { clusterLayout, localKubeconfig } from "../clusters/layout.ts";
import { meshCommand } from "./mesh-command.ts";
import { duration } from "./output.ts";

/** Away from the default, so that the demo runs beside local clusters that are up. */
const OCTET = 110;
const WIDTH = 100;
/** No request may fail. Times are shown, and bounded only so that a busy laptop does not fail its demo. */
const SLO = "failures=0,p99=4s,shift=8s";

interface Shown {
  readonly output: string;
  readonly code: number;
}

/** The main job, as a user would type it, on two clusters of its own that are gone afterwards; the exit status. */
export async function runDemo(argv: readonly string[]): Promise<number> {
  const home = mkdtempSync(join(tmpdir(), "causeway-demo-"));
  const demo = new Demo(home);
  const onSignal = () => demo.interrupt();
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  const startedMs = performance.now();
  try {
    await demo.play();
    const took = duration(performance.now() - startedMs);
    demo.say(`\n${demo.bold("Done")} in ${took}. The clusters of the demo are going; to have your own:\n`);
    demo.say("  bin/mesh up                                  # two clusters that stay");
    demo.say("  bin/mesh link --context east                 # west consumes what east exports");
    demo.say("  bin/mesh export shop/web --context east");
    demo.say("  bin/mesh exec client -- curl -s http://web-east.shop.svc.cluster.local/?whoami");
    demo.say("  bin/mesh drill run endpoint-loss             # or: cluster-loss --cluster east");
    demo.say("  bin/mesh down\n");
    return 0;
  } catch (error) {
    process.stderr.write(`\nthe demo stopped: ${error instanceof Error ? error.message : String(error)}\n`);
    if (argv.includes("--keep")) process.stderr.write(`kept for a look: MESH_HOME=${home}\n`);
    return 1;
  } finally {
    if (!argv.includes("--keep") || process.exitCode === 0) {
      demo.down();
      rmSync(home, { recursive: true, force: true });
    }
  }
}

class Demo {
  readonly #home: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #colours = process.stdout.isTTY === true;
  #interrupted = false;
  #child: ReturnType<typeof spawn> | undefined;

  constructor(home: string) {
    this.#home = home;
    const { KUBECONFIG: _, ...env } = process.env;
    this.#env = { ...env, MESH_HOME: home };
  }

  say(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  bold(text: string): string {
    return this.#colours ? `\u001b[1m${text}\u001b[22m` : text;
  }

  interrupt(): void {
    this.#interrupted = true;
    this.#child?.kill("SIGINT");
  }

  down(): void {
    const [node, ...mesh] = meshCommand();
    spawnSync(node, [...mesh, "down"], { env: this.#env, stdio: "ignore" });
  }

  async play(): Promise<void> {
    const west = clusterLayout(this.#home, "west", OCTET + 10);
    const names = { mirror: "web-east.shop.svc.cluster.local", federated: "web.shop.svc.clusterset.local" };

    this.#chapter("Two clusters, each with an API server, control, gateway, mirror, DNS and pods with sidecars");
    await this.#mesh("up", "--octet", String(OCTET));

    this.#chapter("Link them: a one-use token, TLS pinned to the peer's root, trust exchanged both ways");
    await this.#mesh("link", "--context", "east", "--plan");
    await this.#mesh("link", "--context", "east");
    await this.#mesh("links");

    this.#chapter("Export east's web: west gets it as web-east, under plain Kubernetes objects and DNS");
    await this.#mesh("export", "shop/web", "--context", "east");
    if (has("kubectl")) {
      const objects = "services,endpointslices";
      await this.#eventually("web-east", [
        "kubectl",
        "get",
        objects,
        "-n",
        "shop",
        "-l",
        "causeway.dev/origin-cluster=east",
      ]);
    }
    if (has("dig"))
      await this.#eventually("127.", ["dig", `@${west.dns}`, "-p", String(dnsPort()), "+short", names.mirror]);
    await this.#mesh("services");

    this.#chapter("Call it from west's client: mutual TLS between both sidecars, east's gateway only sees an SNI");
    if (has("curl")) {
      const { output } = await this.#mesh(
        "exec",
        "--context",
        "west",
        "client",
        "--",
        "curl",
        "-sS",
        `http://${names.mirror}/?whoami`,
      );
      this.#expect(output, '"cluster":"east"', "east's web answers");
      this.#expect(output, '"client":"spiffe://west.mesh/ns/shop/sa/client"', "east authenticated the caller of west");
    }

    this.#chapter(
      "Kill every web pod of west with SIGKILL, under 200 requests/s: the federated name goes on from east",
    );
    await this.#mesh("drill", "run", "endpoint-loss", "--slo", SLO);

    this.#chapter("Kill everything of east with SIGKILL, while it answers: the traffic moves to west, then back");
    await this.#mesh("drill", "run", "cluster-loss", "--cluster", "east", "--slo", SLO);
  }

  #chapter(title: string): void {
    if (this.#interrupted) throw new Error("interrupted");
    this.say(`\n${this.bold(`── ${title} ${"─".repeat(Math.max(0, WIDTH - title.length - 4))}`)}`);
  }

  #expect(output: string, part: string, meaning: string): void {
    if (!output.includes(part)) throw new Error(`${meaning}: the answer lacks ${part}`);
    this.say(`✔ ${meaning}`);
  }

  async #mesh(...args: string[]): Promise<Shown> {
    const [node, ...mesh] = meshCommand();
    const shown = await this.#run(["mesh", ...args], node, [...mesh, ...args], true);
    if (shown.code !== 0) throw new Error(`mesh ${args[0]} ended with status ${shown.code}`);
    return shown;
  }

  /** Runs what a user would run until its output has `part`: names appear within a second of an export. */
  async #eventually(part: string, command: readonly [string, ...string[]]): Promise<void> {
    const [file, ...args] = command;
    const deadlineMs = performance.now() + 5_000;
    for (;;) {
      const shown = await this.#run(command, file, args, false);
      if (shown.output.includes(part)) {
        this.say(`${this.#prompt(command)}\n${shown.output.trimEnd()}`);
        return;
      }
      if (performance.now() > deadlineMs)
        throw new Error(`${command.join(" ")}: no "${part}" within 5 s:\n${shown.output}`);
    }
  }

  #prompt(command: readonly string[]): string {
    return this.#colours ? `\u001b[36m$ ${command.join(" ")}\u001b[39m` : `$ ${command.join(" ")}`;
  }

  #run(command: readonly string[], file: string, args: readonly string[], live: boolean): Promise<Shown> {
    if (live) this.say(this.#prompt(command));
    const env = { ...this.#env, ...(file === "kubectl" ? { KUBECONFIG: localKubeconfig(this.#home) } : {}) };
    // A terminal is passed on, so that spinners spin; the answer of `exec` is what must be read.
    const inherit = live && this.#colours && command[1] !== "exec";
    return new Promise((resolve, reject) => {
      const child = spawn(file, args, { env, stdio: ["ignore", inherit ? "inherit" : "pipe", "pipe"] });
      this.#child = child;
      let output = "";
      child.stdout?.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        if (live) process.stdout.write(chunk);
      });
      child.stderr?.on("data", (chunk: Buffer) => {
        if (live) process.stderr.write(chunk);
      });
      child.once("error", reject);
      child.once("close", (code) => resolve({ output, code: code ?? 1 }));
    });
  }
}

function has(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" }).status === 0;
}
