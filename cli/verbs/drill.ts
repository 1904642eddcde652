import type { Command } from "commander";
import { meshHome } from "../../clusters/layout.ts";
import { killProcesses, startSupervisor } from "../../clusters/local-cluster.ts";
import { localLayout } from "../../clusters/local-state.ts";
import { systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { MeshError } from "../../core/errors.ts";
import { type Fault, runDrill } from "../../drills/drill.ts";
import { endpointLoss } from "../../drills/endpoint-loss.ts";
import type { DrillReport, Slo } from "../../drills/report.ts";
import { DEFAULT_SLO, parseSlo } from "../../drills/slo.ts";
import { PODS, type Pod } from "../../kube/resources.ts";
import { accessMesh, type MeshCluster } from "../cluster-access.ts";
import { meshCommand } from "../mesh-command.ts";
import { duration, show } from "../output.ts";
import {
  type CommonOptions,
  durationMs,
  requireOption,
  type VerbContext,
  wholeNumber,
  withCommonOptions,
} from "../program.ts";
import { parseServiceReference } from "../service-reference.ts";

interface DrillVerbOptions extends CommonOptions {
  readonly service: string;
  readonly client: string;
  readonly cluster?: string;
  readonly rate: number;
  readonly slo?: Slo;
  readonly warmUp: number;
  readonly hold: number;
  readonly return: number;
}

const NAMES = ["endpoint-loss", "cluster-loss"] as const;

export function registerDrill(program: Command, context: VerbContext): void {
  const drill = program.command("drill").description("prove that failover works, with traffic on");
  withCommonOptions(
    drill
      .command("run")
      .description(`run a drill: ${NAMES.join(", ")}; exit status 1 where it misses its SLO`)
      .argument("<drill>", NAMES.join(" or "))
      .option("--service <ns/name>", "federated service to call", "shop/web")
      .option("--client <ns/pod>", "pod through whose sidecar the traffic goes", "shop/client")
      .option("--cluster <name>", "cluster-loss: the local cluster to kill")
      .option("--rate <n>", "requests per second", wholeNumber(1, 2_000), 200)
      .option("--slo <text>", "what must hold (default: failures=0,p99=1s,shift=2s)", parseSlo)
      .option("--warm-up <duration>", "traffic before the fault", durationMs, 2_000)
      .option("--hold <duration>", "how long the fault lasts (cluster-loss)", durationMs, 3_000)
      .option("--return <duration>", "how long traffic may take to come back", durationMs, 45_000),
    "cluster from which the traffic comes",
  ).action(async (name: string, options: DrillVerbOptions) => {
    await run(name, options, context);
  });
}

async function run(name: string, options: DrillVerbOptions, context: VerbContext): Promise<void> {
  const { namespace, name: service } = parseServiceReference(options.service, "default");
  const mesh = await accessMesh(options, context.env);
  const fault = faultOf(name, mesh, namespace, service, options, context);
  const proxy = { host: await clientAddress(mesh, options.client), port: PORTS.outbound };
  const progress = options.output === "table" ? context.stdout : context.stderr;
  const report = await runDrill(
    fault,
    {
      drill: name,
      traffic: {
        url: `http://${service}.${namespace}.svc.clusterset.local/?whoami`,
        proxy,
        perSecond: options.rate,
        timeoutMs: 5_000,
        // Without a preference the caller's own cluster answers, and the loss of another would move nothing.
        headers: name === "cluster-loss" ? { "x-causeway-prefer": fault.lost } : {},
      },
      slo: options.slo ?? DEFAULT_SLO,
      warmUpMs: options.warmUp,
      holdMs: name === "cluster-loss" ? options.hold : 0,
      returnMs: options.return,
      say: (text) => progress.write(`… ${text}\n`),
      clock: systemClock,
    },
    context.signal,
  );
  show(options.output, report, () => describe(report), context.stdout);
  if (!report.passed) context.exit(1);
}

function faultOf(
  name: string,
  mesh: MeshCluster,
  namespace: string,
  service: string,
  options: DrillVerbOptions,
  context: VerbContext,
): Fault {
  switch (name as (typeof NAMES)[number]) {
    case "endpoint-loss":
      return endpointLoss(mesh.kube, mesh.cluster, namespace, service);
    case "cluster-loss": {
      const cluster = requireOption(
        options.cluster,
        "--cluster",
        "name the local cluster to kill, as in --cluster east",
      );
      if (cluster === mesh.cluster) {
        throw new MeshError(
          "USAGE",
          `Cannot drill the loss of ${cluster} from ${cluster}: the client would die with it. Name another with --cluster, or start from another with --context.`,
        );
      }
      const layout = localLayout(meshHome(context.env), cluster);
      return {
        description: `every process of ${cluster} killed`,
        lost: cluster,
        async inject() {
          killProcesses(layout);
        },
        async heal() {
          await startSupervisor(layout, meshCommand());
        },
      };
    }
    default:
      throw new MeshError("USAGE", `Cannot run drill "${name.slice(0, 40)}": there are ${NAMES.join(", ")}.`);
  }
}

/** Address of the client's sidecar. @throws MeshError KUBE_NOT_FOUND */
async function clientAddress(mesh: MeshCluster, reference: string): Promise<string> {
  const { namespace, name } = parseServiceReference(reference, "default");
  const pod = await mesh.kube.get<Pod>(PODS, name, namespace);
  const address = pod?.status?.podIP;
  if (address === undefined) {
    throw new MeshError(
      "KUBE_NOT_FOUND",
      `Cannot send traffic: ${mesh.cluster} has no running pod ${namespace}/${name}. Name one with a sidecar with --client.`,
    );
  }
  return address;
}

function describe(report: DrillReport): string {
  const time = (ms: number | null) => (ms === null ? "never" : duration(ms));
  const by = Object.entries(report.answeredBy).map(([cluster, count]) => `${cluster} ${count}`);
  const lines = [
    `${report.passed ? "PASS" : "FAIL"}  ${report.drill}: ${report.requests} requests at ${report.perSecond}/s`,
    `  failures    ${report.failures}`,
    ...report.failureReasons.map((reason) => `              ${reason}`),
    `  detection   ${time(report.detectionMs)}   (fault to first answer from another cluster)`,
    `  shift       ${time(report.shiftMs)}   (fault to last answer of what was lost)`,
    `  return      ${time(report.returnMs)}   (fault to first answer after it came back)`,
    `  p99         ${duration(report.p99BeforeMs)} before, ${duration(report.p99DuringMs)} during, slowest ${duration(report.maxMs)}`,
    `  answered by ${by.join(", ")} since the fault`,
    ...report.misses.map((miss) => `  missed: ${miss}`),
  ];
  return lines.join("\n");
}
