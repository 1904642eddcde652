import type { Command } from "commander";
import { meshHome } from "../../clusters/layout.ts";
import { removeCluster, removeHome } from "../../clusters/local-cluster.ts";
import { localLayouts } from "../../clusters/local-state.ts";
import { systemClock } from "../../core/clock.ts";
import type { VerbContext } from "../program.ts";
import { runSteps } from "../steps.ts";

export function registerDown(program: Command, context: VerbContext): void {
  program
    .command("down")
    .description("stop the local clusters and remove everything of theirs")
    .action(async () => {
      const home = meshHome(context.env);
      const layouts = localLayouts(home);
      if (layouts.length === 0) {
        context.stdout.write("no local clusters are up\n");
        return;
      }
      const steps = layouts.map((layout) => ({
        title: `${layout.cluster}: stopped and removed`,
        run: async () => {
          await removeCluster(layout, systemClock, context.signal);
        },
      }));
      await runSteps(steps, { out: context.stdout, concurrent: true });
      await removeHome(
        home,
        layouts.map((layout) => layout.cluster),
      );
    });
}
