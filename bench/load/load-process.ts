import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { endWithUs, stopProcess } from "../measure/programs.ts";
import type { LoadAnswer, LoadCommand } from "./commands.ts";

type AnswerTo<K extends LoadCommand["kind"]> = Extract<LoadAnswer, { readonly kind: K }>;

/** The process of load/main.ts. One command at a time. */
export class LoadProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;

  constructor(core: string | undefined) {
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    const node = [process.execPath, "--import", tsx, fileURLToPath(new URL("main.ts", import.meta.url))];
    const [file = "", ...args] = core === undefined ? node : ["taskset", "-c", core, ...node];
    this.#child = spawn(file, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    endWithUs(this.#child);
    this.#exited = new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.once("error", () => resolve());
    });
  }

  /** @throws Error when it fails, or the process ends */
  async ask<K extends LoadCommand["kind"]>(command: Extract<LoadCommand, { readonly kind: K }>): Promise<AnswerTo<K>> {
    const answer = await new Promise<LoadAnswer>((resolve, reject) => {
      this.#child.once("message", resolve);
      void this.#exited.then(() => reject(new Error("The load process has ended.")));
      this.#child.send(command, (error) => {
        if (error !== null) reject(error);
      });
    });
    if (answer.kind === "failed") throw new Error(`The load failed: ${answer.reason}`);
    return answer as AnswerTo<K>;
  }

  stop(): Promise<void> {
    return stopProcess(this.#child, this.#exited);
  }
}
