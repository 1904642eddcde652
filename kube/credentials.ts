import { readFile } from "node:fs/promises";
import type { Agent } from "node:http";
import type { RequestOptions } from "node:https";
import type { Cluster, KubeConfig, User } from "@kubernetes/client-node";
import type { Clock } from "../core/clock.ts";
import { asMeshError, errorText, MeshError } from "../core/errors.ts";
import { clusterServer, currentContext, type LoadedKubeConfig } from "./kubeconfig.ts";

/** How long what a plugin or a file gave is used before it is asked again; a 401 asks at once. */
const REUSE_MS = 30_000;

export interface TlsIdentity {
  readonly ca: string | Buffer | undefined;
  readonly cert: string | Buffer | undefined;
  readonly key: string | Buffer | undefined;
  readonly servername: string | undefined;
  readonly rejectUnauthorized: boolean;
}

export interface Credentials {
  /** Authorization and impersonation. Never log. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsIdentity;
  /** Where the kubeconfig names a proxy: the agent that goes through it. */
  readonly proxy: Agent | undefined;
}

/** Credentials of one context, of every kind that client-node knows: certificates, tokens, files, exec plugins, OIDC. */
export interface CredentialSource {
  readonly server: string;
  /** @throws MeshError KUBE_DENIED when a plugin fails or a file cannot be read */
  current(): Promise<Credentials>;
  /** The server refused `used`: unless newer ones are here already, the next `current()` asks files and plugins again. */
  forget(used: Credentials): void;
}

/**
 * Credentials of the chosen context of `config`. Certificates and tokens are read here; for all else client-node is
 * loaded, which costs half a second and 80 MB.
 * @throws MeshError USAGE
 */
export function credentialSource(config: LoadedKubeConfig, clock: Clock): CredentialSource {
  const server = clusterServer(config);
  const context = currentContext(config) ?? "";
  const plain = plainEntry(config, server);
  let kubeConfig: KubeConfig | undefined;
  let held: { credentials: Promise<Credentials>; untilMs: number } | undefined;
  let got: Credentials | undefined;

  const ask = async (): Promise<Credentials> => {
    try {
      if (plain !== undefined) got = await plainCredentials(plain);
      else {
        const { KubeConfig } = await import("@kubernetes/client-node");
        kubeConfig ??= fill(new KubeConfig(), config, server);
        got = await applied(kubeConfig);
      }
      return got;
    } catch (error) {
      kubeConfig = undefined;
      throw new MeshError(
        "KUBE_DENIED",
        `Cannot get credentials for context "${context}": ${errorText(error)}. Check the kubeconfig's user and its plugin.`,
        { cause: error },
      );
    }
  };
  return {
    server,
    current() {
      if (held === undefined || clock.nowMs() >= held.untilMs) {
        const credentials = ask();
        const mine = { credentials, untilMs: clock.nowMs() + REUSE_MS };
        held = mine;
        credentials.catch(() => {
          if (held === mine) held = undefined;
        });
      }
      return held.credentials;
    },
    forget(used) {
      if (used !== got) return;
      got = undefined;
      held = undefined;
      kubeConfig = undefined;
    },
  };
}

interface PlainEntry {
  readonly cluster: Readonly<Record<string, unknown>>;
  readonly user: Readonly<Record<string, unknown>>;
  readonly insecure: boolean;
}

/** Fields that need nothing but reading. */
const PLAIN_USER = ["client-certificate", "client-certificate-data", "client-key", "client-key-data", "token"];
const PLAIN_CLUSTER = [
  "server",
  "certificate-authority",
  "certificate-authority-data",
  "tls-server-name",
  "insecure-skip-tls-verify",
];

/** The chosen context's entries, where both are plain; undefined: client-node knows what to do with them. */
function plainEntry(config: LoadedKubeConfig, server: string): PlainEntry | undefined {
  const { cluster, user, insecure } = chosenEntries(config, server);
  const isPlain = (fields: object, plain: readonly string[]) =>
    Object.keys(fields).every((name) => plain.includes(name));
  return isPlain(cluster, PLAIN_CLUSTER) && isPlain(user, PLAIN_USER) ? { cluster, user, insecure } : undefined;
}

/** Reads files anew each time: they may have been rotated. */
async function plainCredentials({ cluster, user, insecure }: PlainEntry): Promise<Credentials> {
  const material = async (fields: Readonly<Record<string, unknown>>, name: string) => {
    const data = text(fields[`${name}-data`]);
    if (data !== undefined) return Buffer.from(data, "base64");
    const file = text(fields[name]);
    return file === undefined ? undefined : await readFile(file);
  };
  const token = text(user["token"])?.trim();
  return {
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
    tls: {
      ca: await material(cluster, "certificate-authority"),
      cert: await material(user, "client-certificate"),
      key: await material(user, "client-key"),
      servername: text(cluster["tls-server-name"]),
      rejectUnauthorized: !insecure,
    },
    proxy: undefined,
  };
}

/** @throws MeshError USAGE where credentials would go unencrypted */
function chosenEntries(config: LoadedKubeConfig, server: string): PlainEntry {
  const context = config.contexts.get(currentContext(config) ?? "");
  const cluster = config.clusters.get(context?.cluster ?? "") ?? {};
  const user = config.users.get(context?.user ?? "") ?? {};
  const insecure = cluster["insecure-skip-tls-verify"] === true;
  if (server.startsWith("http:") && Object.keys(user).length > 0 && !insecure) {
    throw new MeshError("USAGE", `Cannot use ${server}: credentials would cross the network unencrypted. Use https.`);
  }
  return { cluster, user, insecure: insecure || server.startsWith("http:") };
}

async function applied(kubeConfig: KubeConfig): Promise<Credentials> {
  const options: RequestOptions = {};
  await kubeConfig.applyToHTTPSOptions(options);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    // Files often end in a newline, which no header may hold.
    if (value !== undefined) headers[name] = String(value).trim();
  }
  if (typeof options.auth === "string")
    headers["Authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`;
  return {
    headers,
    tls: {
      ca: options.ca as string | Buffer | undefined,
      cert: options.cert as string | Buffer | undefined,
      key: options.key as string | Buffer | undefined,
      servername: options.servername,
      rejectUnauthorized: options.rejectUnauthorized ?? true,
    },
    proxy: kubeConfig.getCurrentCluster()?.proxyUrl === undefined ? undefined : (options.agent as Agent),
  };
}

function fill(kubeConfig: KubeConfig, config: LoadedKubeConfig, server: string): KubeConfig {
  const name = currentContext(config) ?? "";
  const { cluster, user, insecure } = chosenEntries(config, server);
  try {
    // Names are ours: client-node looks entries up by them, and wants a user even where there is none.
    kubeConfig.loadFromOptions({
      clusters: [clusterOf(cluster, server, insecure)],
      users: [userOf(user)],
      contexts: [{ name, cluster: "cluster", user: "user" }],
      currentContext: name,
    });
  } catch (error) {
    throw asMeshError(error, "USAGE", `use context "${name}"`);
  }
  return kubeConfig;
}

function clusterOf(fields: Readonly<Record<string, unknown>>, server: string, skipTLSVerify: boolean): Cluster {
  const caData = text(fields["certificate-authority-data"]);
  const caFile = text(fields["certificate-authority"]);
  return {
    name: "cluster",
    server,
    skipTLSVerify,
    // client-node prefers the file, kubectl the data.
    ...(caData !== undefined ? { caData } : caFile !== undefined ? { caFile } : {}),
    ...optional("tlsServerName", fields["tls-server-name"]),
    ...optional("proxyUrl", fields["proxy-url"]),
  };
}

function userOf(fields: Readonly<Record<string, unknown>>): User {
  const tokenFile = text(fields["tokenFile"]) ?? text(fields["token-file"]);
  const certData = text(fields["client-certificate-data"]);
  const keyData = text(fields["client-key-data"]);
  const exec = fields["exec"];
  return {
    name: "user",
    ...(certData !== undefined ? { certData } : optional("certFile", fields["client-certificate"])),
    ...(keyData !== undefined ? { keyData } : optional("keyFile", fields["client-key"])),
    ...optional("token", tokenFile === undefined ? fields["token"] : undefined),
    ...optional("username", fields["username"]),
    ...optional("password", fields["password"]),
    ...optional("impersonateUser", fields["as"]),
    ...(typeof exec === "object" && exec !== null ? { exec: withExecInfo(exec as ExecPlugin) } : {}),
    ...(tokenFile !== undefined
      ? { authProvider: { name: "tokenFile", config: { tokenFile } } }
      : fields["auth-provider"] !== undefined
        ? { authProvider: fields["auth-provider"] }
        : {}),
  };
}

interface ExecPlugin {
  readonly apiVersion?: string;
  readonly env?: readonly { name: string; value: string }[];
}

/** Plugins read from this variable which version of the answer is wanted; client-node does not set it. */
function withExecInfo(exec: ExecPlugin): ExecPlugin {
  const apiVersion = exec.apiVersion ?? "client.authentication.k8s.io/v1";
  const value = JSON.stringify({ apiVersion, kind: "ExecCredential", spec: { interactive: false } });
  return { ...exec, env: [...(exec.env ?? []), { name: "KUBERNETES_EXEC_INFO", value }] };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function optional<K extends string>(key: K, value: unknown): { [P in K]?: string } {
  const found = text(value);
  return (found === undefined ? {} : { [key]: found }) as { [P in K]?: string };
}
