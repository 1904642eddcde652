import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type KeyedCertificate, makeCertificate } from "./certificates.ts";

const YEAR_MS = 365 * 24 * 3_600_000;

/** The keys of one local cluster. */
export interface Credentials {
  readonly ca: KeyedCertificate;
  readonly server: KeyedCertificate;
  readonly admin: KeyedCertificate;
  readonly adminToken: string;
  readonly tokenKey: KeyObject;
}

function kept(file: string, make: () => string): string {
  if (existsSync(file)) return readFileSync(file, "utf8");
  const text = make();
  // By rename, so that a process killed here leaves no half a key.
  writeFileSync(`${file}.tmp`, text, { mode: 0o600 });
  renameSync(`${file}.tmp`, file);
  return text;
}

function keptCertificate(directory: string, name: string, make: () => KeyedCertificate): KeyedCertificate {
  const pair = kept(path.join(directory, `${name}.json`), () => JSON.stringify(make()));
  return JSON.parse(pair) as KeyedCertificate;
}

/**
 * Reads the keys in `directory`, making those that are missing (files 0600). The server's certificate is made
 * anew each time: its address may have changed.
 */
export function loadCredentials(
  directory: string,
  cluster: string,
  hosts: readonly string[],
  wallMs: number,
): Credentials {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const notBeforeMs = wallMs - 60_000;
  const ca = keptCertificate(directory, "ca", () =>
    makeCertificate({ commonName: `${cluster}-kubernetes-ca`, usage: "ca", notBeforeMs, ttlMs: 10 * YEAR_MS }),
  );
  const admin = keptCertificate(directory, "admin", () =>
    makeCertificate(
      { commonName: "admin", organizations: ["system:masters"], usage: "client", notBeforeMs, ttlMs: 9 * YEAR_MS },
      ca,
    ),
  );
  const server = makeCertificate(
    { commonName: "kube-apiserver", hosts, usage: "server", notBeforeMs, ttlMs: YEAR_MS },
    ca,
  );
  const adminToken = kept(path.join(directory, "admin-token"), () => randomBytes(32).toString("base64url"));
  const tokenKey = kept(path.join(directory, "service-account.key"), () =>
    generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  );
  return { ca, server, admin, adminToken, tokenKey: createPrivateKey(tokenKey) };
}
