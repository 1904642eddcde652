import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import type { BackoffOptions } from "../../core/backoff.ts";
import type { Clock } from "../../core/clock.ts";
import { signalRecord, spawnRecorded } from "../process-record.ts";
import { RestartDelay } from "../restart-delay.ts";
import { LogFile } from "./log-file.ts";

export interface ContainerSpec {
  readonly name: string;
  /** Unique among all containers of the node; names the process record. */
  readonly recordName: string;
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly directory: string;
  readonly restart: "Always" | "OnFailure" | "Never";
}

export interface ContainerDeps {
  readonly runDirectory: string;
  readonly owner: string;
  readonly clock: Clock;
  /** Called after each change of `state`. */
  readonly changed: () => void;
}

export type ContainerState =
  | { readonly kind: "waiting"; readonly reason: string; readonly message: string }
  | { readonly kind: "running"; readonly startedAtMs: number; readonly pid: number }
  | {
      readonly kind: "terminated";
      readonly exitCode: number;
      readonly signal: string;
      readonly startedAtMs: number;
      readonly finishedAtMs: number;
    };

/** Shorter than the kubelet's 10 s to 5 min: on a laptop one waits for it. */
const CRASH_LOOP: BackoffOptions = { minMs: 500, maxMs: 20_000, jitter: 0 };

/** One container as a process: started again by its restart policy, its output in a log file. */
export class Container {
  readonly spec: ContainerSpec;
  state: ContainerState = { kind: "waiting", reason: "ContainerCreating", message: "" };
  lastState: ContainerState | undefined;
  restarts = 0;
  readonly #deps: ContainerDeps;
  readonly #log: LogFile;
  #child: ChildProcess | undefined;
  #cancelRestart = () => {};
  #stopping = false;
  readonly #delay = new RestartDelay(CRASH_LOOP);
  #ended: (() => void)[] = [];

  constructor(spec: ContainerSpec, deps: ContainerDeps) {
    this.spec = spec;
    this.#deps = deps;
    this.#log = new LogFile(join(spec.directory, `${spec.name}.log`));
  }

  get logPath(): string {
    return this.#log.path;
  }

  start(): void {
    if (this.#stopping) return;
    const { runDirectory, owner, clock } = this.#deps;
    const startedAtMs = clock.wallMs();
    const child = spawnRecorded(runDirectory, this.spec.recordName, this.spec.command, {
      owner,
      env: { ...this.spec.env },
      cwd: this.spec.directory,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    if (child.stdout !== null) this.#log.follow(child.stdout, "stdout");
    if (child.stderr !== null) this.#log.follow(child.stderr, "stderr");
    child.once("error", (error) => this.#onEnd(127, "", startedAtMs, error.message));
    child.once("exit", (code, signal) => this.#onEnd(code ?? 137, signal ?? "", startedAtMs, ""));
    if (child.pid !== undefined) this.#set({ kind: "running", startedAtMs, pid: child.pid });
  }

  /** SIGTERM to the process group, SIGKILL after `graceMs` (at once for 0); resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#cancelRestart();
    const child = this.#child;
    if (child?.pid !== undefined) {
      const record = { name: this.spec.recordName, pid: child.pid, startTime: "" };
      await new Promise<void>((resolve) => {
        this.#ended.push(resolve);
        const cancel = this.#deps.clock.after(graceMs, () => signalRecord(record, "SIGKILL"));
        this.#ended.push(cancel);
        signalRecord(record, graceMs > 0 ? "SIGTERM" : "SIGKILL");
      });
    }
    this.#log.close();
  }

  #onEnd(exitCode: number, signal: string, startedAtMs: number, error: string): void {
    if (this.#child === undefined) return;
    this.#child = undefined;
    const { clock } = this.#deps;
    const finishedAtMs = clock.wallMs();
    const terminated: ContainerState = { kind: "terminated", exitCode, signal, startedAtMs, finishedAtMs };
    for (const ended of this.#ended.splice(0)) ended();
    const again = this.spec.restart === "Always" || (this.spec.restart === "OnFailure" && exitCode !== 0);
    if (this.#stopping || !again) {
      this.#set(terminated);
      return;
    }
    const delayMs = this.#delay.next(finishedAtMs - startedAtMs);
    this.lastState = terminated;
    this.restarts++;
    this.#cancelRestart = clock.after(delayMs, () => this.start());
    const message = error !== "" ? error : `back-off ${delayMs} ms restarting failed container`;
    this.#set({ kind: "waiting", reason: "CrashLoopBackOff", message });
  }

  #set(state: ContainerState): void {
    this.state = state;
    this.#deps.changed();
  }
}
