import type { Command } from "commander";
import { installManifests } from "../../clusters/install.ts";
import { accessCluster } from "../cluster-access.ts";
import { show } from "../output.ts";
import { type CommonOptions, type VerbContext, withCommonOptions } from "../program.ts";

interface InstallVerbOptions extends CommonOptions {
  readonly crds?: boolean;
}

export function registerInstall(program: Command, context: VerbContext): void {
  withCommonOptions(
    program
      .command("install")
      .description("bring Causeway's resource definitions, namespace, accounts and roles into a cluster")
      .option(
        "--crds",
        "only the resource definitions: enough for mesh serve out of the cluster, under a kubeconfig of its own",
      ),
  ).action(async (options: InstallVerbOptions) => {
    const { kube, context: name } = await accessCluster(options, context.env);
    const result = await installManifests(kube, { crdsOnly: options.crds === true, signal: context.signal });
    const lines = () => [
      ...result.created.map((object) => `created    ${object}`),
      ...result.updated.map((object) => `updated    ${object}`),
      ...result.unchanged.map((object) => `unchanged  ${object}`),
      ...result.kept.map((object) => `kept       ${object}`),
      `\nnext: mesh serve --context ${name}`,
    ];
    show(options.output, result, () => lines().join("\n"), context.stdout);
  });
}
