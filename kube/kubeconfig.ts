import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { parse } from "yaml";
import { errorText, MeshError } from "../core/errors.ts";

const MAX_BYTES = 4 * 1024 * 1024;
const IN_CLUSTER_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

export interface KubeConfigOptions {
  /** A file, or a list as in `$KUBECONFIG`, separated by ":". Absent: the pod's own ServiceAccount. */
  readonly kubeconfigPath?: string;
  /** Absent: the current context. */
  readonly context?: string;
}

type Fields = Readonly<Record<string, unknown>>;

export interface KubeConfigContext {
  readonly cluster: string;
  readonly user: string;
  readonly namespace: string;
}

/** Kubeconfig files merged as kubectl merges them: of two entries with a name, the first file's wins. */
export interface LoadedKubeConfig {
  /** Files that were read, for messages; none for `inCluster`. */
  readonly paths: readonly string[];
  readonly inCluster: boolean;
  /** The chosen context: what was asked for, else the current one; undefined where neither is set. */
  readonly context: string | undefined;
  readonly contexts: ReadonlyMap<string, KubeConfigContext>;
  /** Entries as in the files, with absolute paths. */
  readonly clusters: ReadonlyMap<string, Fields>;
  readonly users: ReadonlyMap<string, Fields>;
}

const CLUSTER_PATHS = ["certificate-authority"];
const USER_PATHS = ["client-certificate", "client-key", "token-file", "tokenFile"];

/**
 * Reads and merges kubeconfig files, or finds the pod's own credentials. Opens no connection.
 * @throws MeshError CONTEXT_UNKNOWN when there is no such context (lists those that exist), USAGE when a file
 * cannot be read or is no kubeconfig
 */
export async function loadKubeConfig(options: KubeConfigOptions = {}): Promise<LoadedKubeConfig> {
  const { kubeconfigPath, context } = options;
  const config = kubeconfigPath === undefined ? ownCredentials() : await mergeFiles(kubeconfigPath, context);
  if (context !== undefined && !config.contexts.has(context)) throw contextUnknown(config, context);
  return config;
}

/** Names of the contexts, in the order of the files. */
export function contextNames(config: LoadedKubeConfig): string[] {
  return [...config.contexts.keys()];
}

/** The context in use, undefined where none is chosen. */
export function currentContext(config: LoadedKubeConfig): string | undefined {
  return config.context;
}

/**
 * Address of the API server of `context` (default: the chosen one), without a trailing slash. Two contexts with
 * the same address are the same cluster.
 * @throws MeshError CONTEXT_UNKNOWN, USAGE when the context's cluster has no server
 */
export function clusterServer(config: LoadedKubeConfig, context = config.context): string {
  const found = context === undefined ? undefined : config.contexts.get(context);
  if (found === undefined) throw contextUnknown(config, context);
  const server = config.clusters.get(found.cluster)?.["server"];
  if (typeof server === "string" && /^https?:\/\/[^/]/.test(server)) return server.replace(/\/+$/, "");
  throw new MeshError(
    "USAGE",
    `Cannot use context "${context}": its cluster "${found.cluster}" has no server address. Correct ${where(config)}.`,
  );
}

function contextUnknown(config: LoadedKubeConfig, context: string | undefined): MeshError {
  const names = contextNames(config);
  const known = names.length > 0 ? `The contexts are: ${names.join(", ")}.` : "It has no contexts.";
  const state =
    context === undefined
      ? `Cannot choose a cluster: ${where(config)} has no current context. Name one with --context.`
      : `Cannot use context "${context}": ${where(config)} has no such context.`;
  return new MeshError("CONTEXT_UNKNOWN", `${state} ${known}`);
}

function where(config: LoadedKubeConfig): string {
  return config.paths.length > 0 ? `kubeconfig ${config.paths.join(":")}` : "the kubeconfig";
}

function ownCredentials(): LoadedKubeConfig {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (host === undefined || port === undefined) {
    throw new MeshError(
      "USAGE",
      "Cannot find a cluster: no kubeconfig is given and this is no pod. Use --kubeconfig or $KUBECONFIG, or run `mesh up`.",
    );
  }
  const server = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  return {
    paths: [],
    inCluster: true,
    context: "in-cluster",
    contexts: new Map([["in-cluster", { cluster: "in-cluster", user: "in-cluster", namespace: "default" }]]),
    clusters: new Map([["in-cluster", { server, "certificate-authority": join(dirname(IN_CLUSTER_TOKEN), "ca.crt") }]]),
    users: new Map([["in-cluster", { tokenFile: IN_CLUSTER_TOKEN }]]),
  };
}

async function mergeFiles(list: string, wanted: string | undefined): Promise<LoadedKubeConfig> {
  const candidates = list.split(":").filter((path) => path !== "");
  const paths: string[] = [];
  const contexts = new Map<string, KubeConfigContext>();
  const clusters = new Map<string, Fields>();
  const users = new Map<string, Fields>();
  let current: string | undefined;
  for (const path of candidates) {
    const file = await readKubeConfig(path);
    if (file === undefined) continue;
    paths.push(path);
    for (const [name, body] of entries(file, "clusters", "cluster", path)) {
      if (!clusters.has(name)) clusters.set(name, absolute(body, CLUSTER_PATHS, dirname(path)));
    }
    for (const [name, body] of entries(file, "users", "user", path)) {
      if (!users.has(name)) users.set(name, absolute(body, USER_PATHS, dirname(path)));
    }
    for (const [name, body] of entries(file, "contexts", "context", path)) {
      const { cluster, user, namespace } = body;
      if (contexts.has(name)) continue;
      contexts.set(name, { cluster: text(cluster), user: text(user), namespace: text(namespace) || "default" });
    }
    current ??= text(file["current-context"]) || undefined;
  }
  if (paths.length === 0) {
    throw new MeshError(
      "USAGE",
      `Cannot read kubeconfig ${list || '""'}: no such file. Check --kubeconfig or $KUBECONFIG.`,
    );
  }
  return { paths, inCluster: false, context: wanted ?? current, contexts, clusters, users };
}

/** The content of one file; undefined where it does not exist. @throws MeshError USAGE */
export async function readKubeConfig(path: string): Promise<Fields | undefined> {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new MeshError("USAGE", `Cannot read kubeconfig ${path}: ${errorText(error)}. Check its permissions.`, {
      cause: error,
    });
  }
  if (content.length > MAX_BYTES)
    throw new MeshError("USAGE", `Cannot read kubeconfig ${path}: larger than ${MAX_BYTES} bytes.`);
  let parsed: unknown;
  try {
    parsed = parse(content.toString("utf8"));
  } catch {
    // The parser's message quotes the file, and the file holds keys.
    throw new MeshError("USAGE", `Cannot read kubeconfig ${path}: not YAML. Correct or remove it.`);
  }
  if (parsed === null) return {};
  if (isFields(parsed)) return parsed;
  throw new MeshError("USAGE", `Cannot read kubeconfig ${path}: not a kubeconfig. Correct or remove it.`);
}

function* entries(file: Fields, list: string, body: string, path: string): Generator<[string, Fields]> {
  const items = file[list] ?? [];
  if (!Array.isArray(items)) throw new MeshError("USAGE", `Cannot read kubeconfig ${path}: "${list}" is not a list.`);
  for (const item of items as unknown[]) {
    const name = isFields(item) ? item["name"] : undefined;
    if (!isFields(item) || typeof name !== "string" || name === "") {
      throw new MeshError("USAGE", `Cannot read kubeconfig ${path}: an entry of "${list}" has no name.`);
    }
    const fields = item[body] ?? {};
    yield [name, isFields(fields) ? fields : {}];
  }
}

function absolute(fields: Fields, keys: readonly string[], root: string): Fields {
  const result: Record<string, unknown> = { ...fields };
  for (const key of keys) {
    const path = result[key];
    if (typeof path === "string" && path !== "" && !isAbsolute(path)) result[key] = join(root, path);
  }
  const exec = result["exec"];
  if (isFields(exec) && typeof exec["command"] === "string" && /^\.{0,2}\/|\//.test(exec["command"])) {
    // As kubectl does: a command with a slash is relative to the file, one without is looked up in $PATH.
    if (!isAbsolute(exec["command"])) result["exec"] = { ...exec, command: join(root, exec["command"]) };
  }
  return result;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
