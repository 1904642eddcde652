import type { Command } from "commander";
import { MeshError } from "../../core/errors.ts";
import type { KubeClient } from "../../kube/client.ts";
import { PODS, type Pod } from "../../kube/resources.ts";
import { accessCluster } from "../cluster-access.ts";
import { type CommonOptions, type VerbContext, withCommonOptions } from "../program.ts";

interface ExecOptions extends CommonOptions {
  readonly namespace?: string;
  readonly container?: string;
  readonly stdin?: boolean;
}

export function registerExec(program: Command, context: VerbContext): void {
  withCommonOptions(
    program
      .command("exec")
      .description(
        "run a command in a pod, through its sidecar: mesh exec client -- curl http://web-east.shop.svc.cluster.local",
      )
      .argument("<pod>", "[<namespace>/]<pod>, or the name of what made the pod")
      .argument("<command...>", "after --")
      .option("-n, --namespace <name>", "namespace of the pod (default: wherever the name is unique)")
      .option("-c, --container <name>", "container (default: the first)")
      .option("-i, --stdin", "pass standard input on")
      .passThroughOptions(),
  ).action(async (pod: string, words: string[], options: ExecOptions) => {
    const command = words[0] === "--" ? words.slice(1) : words;
    if (command.length === 0) throw new MeshError("USAGE", "Cannot run nothing: name a command after --.");
    const { kube } = await accessCluster(options, context.env);
    const { namespace, name } = await findPod(kube, pod, options.namespace);
    const streams = {
      stdout: context.stdout,
      stderr: context.stderr,
      ...(options.stdin === true ? { stdin: process.stdin } : {}),
    };
    const { exitCode } = await kube.exec(namespace, name, options.container, command, streams, context.signal);
    context.exit(exitCode);
  });
}

/** A ready pod of that name, or one that a Deployment of that name made. @throws MeshError USAGE, KUBE_NOT_FOUND */
async function findPod(
  kube: KubeClient,
  reference: string,
  namespace: string | undefined,
): Promise<{ namespace: string; name: string }> {
  const slash = reference.indexOf("/");
  const wanted = slash < 0 ? reference : reference.slice(slash + 1);
  const within = namespace ?? (slash < 0 ? undefined : reference.slice(0, slash));
  const pods = await kube.list<Pod>(PODS, within === undefined ? {} : { namespace: within });
  const exact = pods.filter((pod) => pod.metadata.name === wanted);
  const made = pods.filter((pod) => pod.metadata.name.replace(/-[a-z0-9]+-[a-z0-9]{5}$/, "") === wanted);
  const found = (exact.length > 0 ? exact : made).filter((pod) => pod.metadata.deletionTimestamp === undefined);
  const namespaces = new Set(found.map((pod) => pod.metadata.namespace));
  if (namespaces.size > 1) {
    throw new MeshError(
      "USAGE",
      `Cannot choose a pod "${wanted}": namespaces ${[...namespaces].join(", ")} have one. Name it with -n.`,
    );
  }
  const ready = (pod: Pod) => pod.status?.conditions?.find((c) => c.type === "Ready")?.status === "True";
  const pod = found.find(ready) ?? found[0];
  if (pod === undefined) {
    const names = pods.map((p) => `${p.metadata.namespace}/${p.metadata.name}`).slice(0, 8);
    throw new MeshError("KUBE_NOT_FOUND", `Cannot find pod "${reference}". There are: ${names.join(", ") || "none"}.`);
  }
  return { namespace: pod.metadata.namespace ?? "default", name: pod.metadata.name };
}
