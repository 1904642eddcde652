import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { connect, createServer } from "node:net";
import { delimiter, join } from "node:path";

/** Where `name` is on $PATH, or among the folders of administrators, which $PATH may lack. */
export function programOnPath(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return folders
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** What cannot be measured here, and why. */
export class Missing extends Error {}

/** @throws Missing */
export function requireProgram(name: string): string {
  const file = programOnPath(name);
  if (file === undefined) throw new Missing(`${name} is not installed`);
  return file;
}

export interface RunningProgram {
  readonly pid: number;
  readonly running: boolean;
  /** The end of what it has said so far, both outputs. */
  readonly said: string;
  /** Resolves with the first match in what it says. Rejects when it ends first. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  stop(): Promise<void>;
}

const MAX_SAID = 65_536;
const STOP_MS = 3_000;
const START_MS = 20_000;
const LOOK_MS = 20;

/** Starts a program on `core` and keeps it until `stop`. */
export function startProgram(core: string | undefined, command: readonly [string, ...string[]]): RunningProgram {
  const [file, ...args] = core === undefined ? command : (["taskset", "-c", core, ...command] as const);
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], cwd: "/" });
  endWithUs(child);
  let said = "";
  let running = true;
  const exited = new Promise<void>((resolve) => {
    const over = () => {
      running = false;
      resolve();
    };
    child.once("exit", over);
    child.once("error", over);
  });
  let heard = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-MAX_SAID);
      heard();
    });
  }
  return {
    pid: child.pid ?? 0,
    get running() {
      return running;
    },
    get said() {
      return said;
    },
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const fail = (what: string) => {
          clearTimeout(timer);
          reject(new Error(`${command[0]} ${what}: ${said.trim().split("\n").slice(-5).join(" | ")}`));
        };
        const timer = setTimeout(() => fail(`did not say ${pattern}`), START_MS);
        heard = () => {
          const match = pattern.exec(said);
          if (match === null) return;
          clearTimeout(timer);
          resolve(match);
        };
        heard();
        void exited.then(() => fail("ended early"));
      }),
    stop: () => stopProcess(child, exited),
  };
}

/** A run that is interrupted leaves nothing behind. */
export function endWithUs(child: ChildProcess): void {
  const kill = () => child.kill("SIGTERM");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
}

/** SIGTERM, then SIGKILL. */
export async function stopProcess(child: ChildProcess, exited: Promise<void>): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exited;
  clearTimeout(timer);
}

/** Runs a program to its end. @throws Error for any status but 0 */
export async function runProgram(core: string | undefined, command: readonly [string, ...string[]]): Promise<string> {
  const [file, ...args] = core === undefined ? command : (["taskset", "-c", core, ...command] as const);
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], cwd: "/" });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(`Status ${code} of ${command.join(" ")}: ${said.trim().slice(-2_000)}`);
  return said;
}

/** A port that was free a moment ago, for programs that cannot choose one and say so. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Waits until something accepts on `port`. @throws Error when the program ends first, or nothing does in 20 s */
export async function accepting(port: number, program: RunningProgram): Promise<void> {
  const untilMs = performance.now() + START_MS;
  while (!(await accepts(port))) {
    if (!program.running || performance.now() > untilMs) {
      throw new Error(`Nothing listens on port ${port}: ${program.said.trim().split("\n").slice(-5).join(" | ")}`);
    }
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => setTimeout(resolve, LOOK_MS, false));
  });
}
