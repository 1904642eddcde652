import { Listr, type ListrTask } from "listr2";
import { duration } from "./output.ts";

/** One line of progress: `run` may set what is shown beside the title when it is done. */
export interface Step {
  readonly title: string;
  readonly run: (say: (text: string) => void) => Promise<void>;
}

export interface StepOptions {
  readonly out: NodeJS.WritableStream;
  readonly concurrent?: boolean;
}

/**
 * Runs steps one after the other (or all at once), with spinners and times on a terminal and plain lines elsewhere.
 * The first error ends it and is thrown as it is.
 */
export async function runSteps(steps: readonly Step[], options: StepOptions): Promise<void> {
  const live = (options.out as NodeJS.WriteStream).isTTY === true && process.env["CI"] === undefined;
  if (!live) {
    const one = async ({ title, run }: Step) => {
      const startedMs = performance.now();
      let detail = "";
      await run((text) => {
        detail = text;
      });
      options.out.write(
        `✔ ${title}${detail === "" ? "" : `: ${detail}`} (${duration(performance.now() - startedMs)})\n`,
      );
    };
    if (options.concurrent === true) await Promise.all(steps.map(one));
    else for (const step of steps) await one(step);
    return;
  }
  const tasks: ListrTask[] = steps.map(({ title, run }) => ({
    title,
    task: async (_context, task) => {
      const startedMs = performance.now();
      await run((text) => {
        task.title = `${title}: ${text}`;
      });
      task.title = `${task.title} \u001b[2m${duration(performance.now() - startedMs)}\u001b[22m`;
    },
  }));
  await new Listr(tasks, {
    concurrent: options.concurrent ?? false,
    exitOnError: true,
    rendererOptions: { showErrorMessage: false },
  }).run();
}
