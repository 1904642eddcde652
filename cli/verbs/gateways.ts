import type { Command } from "commander";
import { advertisedGateways } from "../../gateway/advertise.ts";
import { LINKS, type Link } from "../../kube/resources.ts";
import { accessMesh } from "../cluster-access.ts";
import { show, table } from "../output.ts";
import { type CommonOptions, type VerbContext, withCommonOptions } from "../program.ts";

export function registerGateways(program: Command, context: VerbContext): void {
  withCommonOptions(
    program.command("gateways").description("where this cluster's gateways and its peers' are reached"),
  ).action(async (options: CommonOptions) => {
    const { kube, cluster } = await accessMesh(options, context.env);
    const own = (await advertisedGateways(kube)).map((gateway) => ({ cluster, ...gateway, health: "own" }));
    const peers = (await kube.list<Link>(LINKS)).flatMap(({ spec, status }) =>
      spec.gateways.map((gateway) => ({
        cluster: spec.cluster,
        zone: "",
        ...gateway,
        health: status?.health ?? "unknown",
      })),
    );
    const rows = [...own, ...peers];
    const cells = () => rows.map((r) => [r.cluster, r.host, String(r.relayPort), String(r.federationPort), r.health]);
    show(
      options.output,
      rows,
      () => table(["CLUSTER", "HOST", "RELAY", "FEDERATION", "HEALTH"], cells()),
      context.stdout,
    );
  });
}
