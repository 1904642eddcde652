// What a local mesh looks like from all sides, for the message of a test that waited in vain.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterLayout } from "../../clusters/layout.ts";
import { systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { openStore } from "../../registry/open-store.ts";
import type { CommandResult } from "./commands.ts";

/** What is asked of a local mesh. */
interface WatchedMesh {
  readonly clusters: readonly string[];
  layout(cluster: string): ClusterLayout;
  kubectlResult(cluster: string, ...args: string[]): Promise<CommandResult>;
  podAddress(cluster: string, pod: string): Promise<string>;
}

/** Of one value of the registry. */
const VALUE_LENGTH = 600;
const LOG_LINES = 25;
const LINE_LENGTH = 400;
const METRICS = /breaker|untried|balancer_endpoints|mux_connections|relay_|^response_total/;

/** Links, pods, slices, registry, the proxies of `pods` by cluster, and the ends of the logs. Never rejects. */
export async function meshAccount(
  mesh: WatchedMesh,
  pods: Readonly<Record<string, readonly string[]>>,
): Promise<string> {
  const sections: [title: string, text: Promise<string>][] = [];
  for (const cluster of mesh.clusters) {
    sections.push(
      [`${cluster}: links`, kubectl(mesh, cluster, "get links -o jsonpath={.items[*]['metadata.name','status']}")],
      [`${cluster}: pods`, kubectl(mesh, cluster, "-n shop get pods -o wide")],
      [`${cluster}: slices`, kubectl(mesh, cluster, "-n shop get endpointslices -o wide")],
      [`${cluster}: registry`, registryText(mesh, cluster)],
      [`${cluster}: gateway`, metricsText(mesh.layout(cluster).gateway)],
    );
    for (const pod of pods[cluster] ?? [])
      sections.push([`${cluster}: proxy of ${pod}`, proxyText(mesh, cluster, pod)]);
    sections.push([`${cluster}: logs`, Promise.resolve().then(() => logsText(mesh, cluster))]);
  }
  const texts = sections.map(async ([title, text]) => {
    const said = await text.catch((error: Error) => `not known: ${error.message}`);
    return `--- ${title}\n${said.trimEnd()}`;
  });
  return (await Promise.all(texts)).join("\n");
}

async function kubectl(mesh: WatchedMesh, cluster: string, args: string): Promise<string> {
  const { stdout, stderr } = await mesh.kubectlResult(cluster, ...args.split(" "));
  return stdout + stderr;
}

async function registryText(mesh: WatchedMesh, cluster: string): Promise<string> {
  const { redis, redisDirectory } = mesh.layout(cluster);
  const store = await openStore(`redis://${redis.host}:${redis.port}`, {
    cluster,
    clock: systemClock,
    random: Math.random,
    passwordFile: join(redisDirectory, "password"),
  });
  try {
    const { entries, revision } = await store.read("");
    const lines = entries
      .filter(({ key }) => !/^local\/(service|endpoints)\/(default|kube-system)|bundle/.test(key))
      .map((entry) => `${entry.key} @${entry.revision} ${entry.value.slice(0, VALUE_LENGTH)}`);
    return [`revision ${revision}`, ...lines.sort()].join("\n");
  } finally {
    await store.close();
  }
}

async function page(host: string, path: string): Promise<string> {
  const response = await fetch(`http://${host}:${PORTS.admin}${path}`, { signal: AbortSignal.timeout(5_000) });
  return await response.text();
}

async function metricsText(host: string): Promise<string> {
  const lines = (await page(host, "/metrics")).split("\n");
  return lines.filter((line) => METRICS.test(line)).join("\n");
}

async function proxyText(mesh: WatchedMesh, cluster: string, pod: string): Promise<string> {
  const host = await mesh.podAddress(cluster, pod);
  return `${await page(host, "/config")}\n${await metricsText(host)}`;
}

/** What the processes said last; of the noisy ones only what is at least a warning. */
function logsText(mesh: WatchedMesh, cluster: string): string {
  const { logDirectory, runDirectory } = mesh.layout(cluster);
  const files = [logDirectory, runDirectory].flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => name.endsWith(".log"))
      .map((name) => join(directory, name)),
  );
  return files
    .map((file) => {
      const lines = readFileSync(file, "utf8").trimEnd().split("\n");
      const said = lines.filter((line) => !/"level":(10|20)\b|"level":"(debug|trace)"/.test(line)).slice(-LOG_LINES);
      return `${file}\n${said.map((line) => `  ${line.slice(0, LINE_LENGTH)}`).join("\n")}`;
    })
    .join("\n");
}
