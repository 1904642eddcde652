import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { stringify } from "yaml";
import { errorText, MeshError } from "../core/errors.ts";
import { readKubeConfig } from "./kubeconfig.ts";

/** A context of ours: cluster, user and context all bear `name`. */
export type KubeConfigEntry = {
  readonly name: string;
  /** `https://host:port` */
  readonly server: string;
  readonly caPem: string;
  readonly namespace?: string;
} & ({ readonly clientCertPem: string; readonly clientKeyPem: string } | { readonly token: string });

interface Named {
  readonly name: string;
}

/**
 * Sets contexts in a kubeconfig file of ours, leaving others in it alone; makes the file where there is none.
 * The file is replaced in one step and readable by its owner only. Without `currentContext` the one set stays,
 * or the first entry becomes it. @throws MeshError USAGE when the file cannot be read or written
 */
export async function writeKubeconfig(
  path: string,
  entries: readonly KubeConfigEntry[],
  currentContext?: string,
): Promise<void> {
  const file = (await readKubeConfig(path)) ?? {};
  const current = currentContext ?? (textOf(file["current-context"]) || entries[0]?.name || "");
  await replaceFile(path, {
    ...file,
    apiVersion: "v1",
    kind: "Config",
    clusters: merged(file["clusters"], entries.map(clusterOf)),
    users: merged(file["users"], entries.map(userOf)),
    contexts: merged(file["contexts"], entries.map(contextOf)),
    "current-context": current,
  });
}

/**
 * Takes contexts, and their clusters and users of the same name, out of a kubeconfig file; removes a file that then
 * has no context left. Names that are not in it, and a file that does not exist, are no error.
 */
export async function removeFromKubeconfig(path: string, names: readonly string[]): Promise<void> {
  const file = await readKubeConfig(path);
  if (file === undefined) return;
  const gone = new Set(names);
  const without = (list: unknown) => namedOf(list).filter(({ name }) => !gone.has(name));
  const contexts = without(file["contexts"]);
  if (contexts.length === 0) {
    await rm(path, { force: true });
    return;
  }
  const current = textOf(file["current-context"]);
  await replaceFile(path, {
    ...file,
    clusters: without(file["clusters"]),
    users: without(file["users"]),
    contexts,
    "current-context": gone.has(current) ? (contexts[0]?.name ?? "") : current,
  });
}

function clusterOf({ name, server, caPem }: KubeConfigEntry): Named {
  return { name, cluster: { server, "certificate-authority-data": base64(caPem) } } as Named;
}

function userOf(entry: KubeConfigEntry): Named {
  const user =
    "token" in entry
      ? { token: entry.token }
      : { "client-certificate-data": base64(entry.clientCertPem), "client-key-data": base64(entry.clientKeyPem) };
  return { name: entry.name, user } as Named;
}

function contextOf({ name, namespace }: KubeConfigEntry): Named {
  const context = { cluster: name, user: name, ...(namespace === undefined ? {} : { namespace }) };
  return { name, context } as Named;
}

function merged(existing: unknown, entries: readonly Named[]): Named[] {
  const byName = new Map([...namedOf(existing), ...entries].map((item) => [item.name, item]));
  return [...byName.values()];
}

function namedOf(list: unknown): Named[] {
  return Array.isArray(list) ? (list as Named[]) : [];
}

async function replaceFile(path: string, content: object): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(stringify(content));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw new MeshError("USAGE", `Cannot write kubeconfig ${path}: ${errorText(error)}. Check the directory.`, {
      cause: error,
    });
  }
}

function base64(pem: string): string {
  return Buffer.from(pem).toString("base64");
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
