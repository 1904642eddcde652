import type { Command } from "commander";
import { sleep, systemClock } from "../../core/clock.ts";
import { MeshError } from "../../core/errors.ts";
import { LINKS, type Link } from "../../kube/resources.ts";
import { accessMesh } from "../cluster-access.ts";
import { show } from "../output.ts";
import { type CommonOptions, durationMs, type VerbContext, withCommonOptions } from "../program.ts";

interface UnlinkOptions extends CommonOptions {
  readonly timeout: number;
}

export function registerUnlink(program: Command, context: VerbContext): void {
  withCommonOptions(
    program
      .command("unlink")
      .description("end a link: its mirrors, the peer's trust bundle and its routes go, on both sides")
      .argument("<cluster>", "the peer, as mesh links names it")
      .option("--timeout <duration>", "how long to wait until all of it is gone", durationMs, 30_000),
  ).action(async (cluster: string, options: UnlinkOptions) => {
    const own = await accessMesh(options, context.env);
    if (!(await own.kube.delete(LINKS, cluster))) {
      const names = (await own.kube.list<Link>(LINKS)).map((link) => link.spec.cluster);
      throw new MeshError(
        "LINK_UNKNOWN",
        `Cannot unlink "${cluster}": ${own.cluster} has no such link. ${names.length === 0 ? "It has none." : `It has ${names.join(", ")}.`}`,
      );
    }
    const deadlineMs = systemClock.nowMs() + options.timeout;
    for (;;) {
      const link = await own.kube.get<Link>(LINKS, cluster);
      if (link === undefined) break;
      if (systemClock.nowMs() > deadlineMs) {
        const left = link.metadata.finalizers?.join(", ") ?? "";
        throw new MeshError(
          "LINK_TIMEOUT",
          `Cannot see the end of link "${cluster}" within ${options.timeout} ms: waiting for ${left}. It goes on; is mesh serve running?`,
        );
      }
      await sleep(systemClock, 40, context.signal);
    }
    show(
      options.output,
      { cluster, changed: true },
      () => `${own.cluster} is no longer linked to ${cluster}`,
      context.stdout,
    );
  });
}
