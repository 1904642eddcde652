import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { endWithUs, stopProcess } from "../measure/programs.ts";
import type { FederationAnswer, FederationCommand } from "./load-commands.ts";

type AnswerTo<K extends FederationCommand["kind"]> = Extract<FederationAnswer, { readonly kind: K }>;

/** The process of load-main.ts. One command at a time. */
export class FederationLoad {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;

  constructor() {
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    const main = fileURLToPath(new URL("load-main.ts", import.meta.url));
    this.#child = spawn(process.execPath, ["--import", tsx, main], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    endWithUs(this.#child);
    this.#exited = new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.once("error", () => resolve());
    });
  }

  /** @throws Error when it fails, or the process ends */
  async ask<K extends FederationCommand["kind"]>(
    command: Extract<FederationCommand, { readonly kind: K }>,
  ): Promise<AnswerTo<K>> {
    const answer = await new Promise<FederationAnswer>((resolve, reject) => {
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
