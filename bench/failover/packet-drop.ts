import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";

/** What crosses between these, both ways: nothing else uses the ports at these addresses. */
export interface Crossing {
  readonly hosts: readonly string[];
  readonly ports: readonly number[];
}

const TABLE = `causeway_bench_${process.pid}`;

/** Whether packets can be dropped here: root, nft, and a kernel that takes a table from us. */
export function canDropPackets(): boolean {
  if (process.getuid?.() !== 0) return false;
  return spawnSync("nft", ["-c", `add table inet ${TABLE}`], { stdio: "ignore", timeout: 5_000 }).status === 0;
}

/**
 * Drops packets in a table that belongs to one process of nft: the kernel takes it away with that process, which ends
 * when its standard input does, so that no way of ours to end, SIGKILL included, leaves a rule behind.
 */
export class PacketDrop {
  readonly #nft: ChildProcess;
  readonly #hosts: string;
  #complaint = "";

  constructor({ hosts, ports }: Crossing) {
    this.#hosts = `{ ${hosts.join(", ")} }`;
    this.#nft = spawn("nft", ["-i"], { stdio: ["pipe", "ignore", "pipe"] });
    this.#nft.on("error", (error) => this.#complain(error.message));
    this.#nft.stderr?.setEncoding("utf8").on("data", (text: string) => this.#complain(text));
    const tcp = `{ ${ports.join(", ")} }`;
    this.#say(`add table inet ${TABLE} { flags owner; }`);
    this.#say(`add set inet ${TABLE} gone { type ipv4_addr; }`);
    this.#say(`add chain inet ${TABLE} in { type filter hook input priority -300; policy accept; }`);
    this.#say(`add rule inet ${TABLE} in ip daddr @gone tcp dport ${tcp} drop`);
    this.#say(`add rule inet ${TABLE} in ip saddr @gone tcp sport ${tcp} drop`);
  }

  /** From now on nothing arrives. @throws Error where nft has said no */
  begin(): void {
    this.#check();
    this.#say(`add element inet ${TABLE} gone ${this.#hosts}`);
  }

  /** Everything arrives again. @throws Error where nft has said no */
  end(): void {
    this.#say(`flush set inet ${TABLE} gone`);
    this.#check();
  }

  /** Resolves when the table is gone. */
  async close(): Promise<void> {
    if (this.#nft.exitCode !== null || this.#nft.signalCode !== null || this.#nft.pid === undefined) return;
    const gone = once(this.#nft, "exit");
    this.#nft.stdin?.end();
    await gone;
  }

  #say(line: string): void {
    this.#nft.stdin?.write(`${line}\n`);
  }

  #complain(text: string): void {
    this.#complaint = (this.#complaint + text).slice(0, 500);
  }

  #check(): void {
    if (this.#complaint !== "") throw new Error(`Cannot drop packets: ${this.#complaint.trim()}`);
  }
}
