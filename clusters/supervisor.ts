import type { ChildProcess } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import type { BackoffOptions } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { spawnRecorded } from "./process-record.ts";
import { RestartDelay } from "./restart-delay.ts";

export interface SupervisedProcess {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly env?: NodeJS.ProcessEnv;
}

export interface SupervisorOptions {
  readonly runDirectory: string;
  readonly logDirectory: string;
  /** Marks the processes, see process-record.ts. */
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Log;
}

const RESTART: BackoffOptions = { minMs: 100, maxMs: 5_000, jitter: 0 };

/** Keeps processes running: starts each again when it ends, sooner after a long life. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #running = new Map<string, ChildProcess>();
  readonly #restarts = new Map<string, () => void>();
  #stopping = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    mkdirSync(options.logDirectory, { recursive: true, mode: 0o700 });
  }

  start(spec: SupervisedProcess, delay = new RestartDelay(RESTART)): void {
    if (this.#stopping) return;
    const { runDirectory, logDirectory, owner, clock, log } = this.#options;
    const out = openSync(join(logDirectory, `${spec.name}.log`), "a", 0o600);
    const startedMs = clock.nowMs();
    const child = spawnRecorded(runDirectory, spec.name, spec.command, {
      owner,
      stdio: ["ignore", out, out],
      ...(spec.env === undefined ? {} : { env: { ...process.env, ...spec.env } }),
    });
    closeSync(out);
    this.#running.set(spec.name, child);
    let ended = false;
    const onEnd = (reason: string) => {
      if (ended) return;
      ended = true;
      this.#running.delete(spec.name);
      if (this.#stopping) return;
      const delayMs = delay.next(clock.nowMs() - startedMs);
      log.warn("local.process.restart", { process: spec.name, reason, delayMs });
      this.#restarts.set(
        spec.name,
        clock.after(delayMs, () => this.start(spec, delay)),
      );
    };
    child.once("exit", (code, signal) => onEnd(signal ?? `exit ${code}`));
    child.once("error", (error) => onEnd(error.message));
  }

  /** SIGTERM to all, SIGKILL after `graceMs`; resolves when all are gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    for (const cancel of this.#restarts.values()) cancel();
    await Promise.all(
      [...this.#running.values()].map(
        (child) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) {
              resolve();
              return;
            }
            const cancel = this.#options.clock.after(graceMs, () => child.kill("SIGKILL"));
            child.once("exit", () => {
              cancel();
              resolve();
            });
            child.kill("SIGTERM");
          }),
      ),
    );
  }
}
