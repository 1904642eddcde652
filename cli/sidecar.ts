import { runCommandLine } from "./command-line.ts";
import { registerProxy } from "./verbs/proxy.ts";

/** Runs `mesh proxy …` as main.ts would, from a bundle that holds nothing else: what is loaded is memory per workload. */
export async function run(argv: readonly string[]): Promise<void> {
  await runCommandLine(argv, async () => [registerProxy]);
}
