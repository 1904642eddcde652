import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { MeshError } from "../../core/errors.ts";
import type { GatewayAddress } from "../../core/link.ts";
import { parseClusterName } from "../../core/mirror-name.ts";
import type { Secret } from "../../kube/resources.ts";
import { parseGatewayAddress } from "./gateway-address.ts";

const PREFIX = "mesh1.";
const MAX_TEXT = 8_192;
const ID = /^[a-z0-9]{16}$/;
const FINGERPRINT = /^sha256:[0-9a-f]{64}$/;

/** Label of Secrets that hold the exporting side of a join token. */
const JOIN_TOKEN_LABEL = "causeway.dev/join-token";

/** How long a join token lasts where nothing else is asked for. */
export const JOIN_TOKEN_TTL_MS = 15 * 60_000;

/** Clocks of two clusters may differ by this much before a token is refused before it is even presented. */
const SKEW_MS = 5 * 60_000;

/** What a join token says to the cluster that redeems it. */
export interface JoinToken {
  readonly id: string;
  /** 32 bytes, base64url. */
  readonly secret: string;
  /** The cluster that made it, and its trust domain. */
  readonly cluster: string;
  readonly trustDomain: string;
  readonly gateways: readonly GatewayAddress[];
  /** "sha256:<64 hex>" of the root that the redeemer must find there. */
  readonly rootFingerprint: string;
  readonly expiresAtMs: number;
}

/** What the exporting cluster keeps of a token: never the secret itself. */
export interface JoinTokenRecord {
  readonly id: string;
  /** SHA-256 of the secret's text, hex. */
  readonly hash: string;
  readonly expiresAtMs: number;
  /** Absent: any cluster may redeem it. */
  readonly forCluster?: string;
  /** Absent: not redeemed yet. */
  readonly usedBy?: { readonly cluster: string; readonly bundleHash: string };
}

/** Name of the Secret that holds the record of token `id`. */
export function joinSecretName(id: string): string {
  return `causeway-join-${id}`;
}

function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/**
 * A one-use token: `text` goes to the other cluster's administrator, `manifest` is the Secret to create in this
 * cluster before. Defaults: 15 minutes, any cluster.
 */
export function createJoinToken(options: {
  cluster: string;
  trustDomain: string;
  gateways: readonly GatewayAddress[];
  rootFingerprint: string;
  forCluster?: string;
  ttlMs?: number;
  nowMs: number;
}): { text: string; manifest: Secret; expiresAtMs: number } {
  const id = randomBytes(8).toString("hex");
  const secret = randomBytes(32).toString("base64url");
  const expiresAtMs = options.nowMs + (options.ttlMs ?? JOIN_TOKEN_TTL_MS);
  const { cluster, trustDomain, gateways, rootFingerprint } = options;
  const token: JoinToken = { id, secret, cluster, trustDomain, gateways, rootFingerprint, expiresAtMs };
  const forCluster = options.forCluster === undefined ? {} : { forCluster: parseClusterName(options.forCluster) };
  const manifest: Secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: joinSecretName(id),
      namespace: SYSTEM_NAMESPACE,
      labels: { [JOIN_TOKEN_LABEL]: "true" },
    },
    type: "causeway.dev/join-token",
    data: joinTokenData({ id, hash: hashOf(secret), expiresAtMs, ...forCluster }),
  };
  return { text: `${PREFIX}${Buffer.from(JSON.stringify(token)).toString("base64url")}`, manifest, expiresAtMs };
}

function invalid(what: string): MeshError {
  return new MeshError("TOKEN_INVALID", `Cannot read the join token: ${what}. Make a new one with mesh link token.`);
}

/**
 * The token behind `text`. A token that expired less than 5 minutes ago by our clock passes: whoever made it
 * decides by its own.
 * @throws MeshError TOKEN_INVALID, TOKEN_EXPIRED
 */
export function parseJoinToken(text: string, nowMs: number): JoinToken {
  const trimmed = text.trim();
  if (!trimmed.startsWith(PREFIX)) throw invalid(`it does not start with "${PREFIX}"`);
  if (trimmed.length > MAX_TEXT) throw invalid("it is too long");
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(trimmed.slice(PREFIX.length), "base64url").toString("utf8"));
  } catch {
    throw invalid("it is damaged or cut off");
  }
  if (typeof json !== "object" || json === null) throw invalid("it is not an object");
  const { id, secret, cluster, trustDomain, gateways, rootFingerprint, expiresAtMs } = json as Record<string, unknown>;
  if (typeof id !== "string" || !ID.test(id)) throw invalid("its id is malformed");
  if (typeof secret !== "string" || !/^[A-Za-z0-9_-]{43}$/.test(secret)) throw invalid("its secret is malformed");
  if (typeof cluster !== "string" || typeof trustDomain !== "string") throw invalid("it names no cluster");
  if (typeof rootFingerprint !== "string" || !FINGERPRINT.test(rootFingerprint)) throw invalid("its pin is malformed");
  if (typeof expiresAtMs !== "number" || !Number.isSafeInteger(expiresAtMs)) throw invalid("its expiry is malformed");
  if (!Array.isArray(gateways) || gateways.length === 0 || gateways.length > 16) throw invalid("it names no gateway");
  let addresses: GatewayAddress[];
  try {
    parseClusterName(cluster);
    addresses = gateways.map((g) => parseGatewayAddress(g));
  } catch (error) {
    throw new MeshError("TOKEN_INVALID", "Cannot read the join token: its cluster or gateways are malformed.", {
      cause: error,
    });
  }
  if (nowMs > expiresAtMs + SKEW_MS) {
    const at = new Date(expiresAtMs).toISOString();
    throw new MeshError(
      "TOKEN_EXPIRED",
      `Cannot use the join token: it expired at ${at}. Make a new one with mesh link token.`,
    );
  }
  return { id, secret, cluster, trustDomain, gateways: addresses, rootFingerprint, expiresAtMs };
}

/** The record as the Secret's data. */
export function joinTokenData(record: JoinTokenRecord): Record<string, string> {
  return { record: Buffer.from(JSON.stringify(record)).toString("base64") };
}

/** The record in a Secret; undefined where it is none. */
export function readJoinTokenRecord(secret: Secret): JoinTokenRecord | undefined {
  try {
    const text = Buffer.from(secret.data?.["record"] ?? "", "base64").toString("utf8");
    const record = JSON.parse(text) as JoinTokenRecord;
    if (typeof record.hash !== "string" || record.hash.length !== 64 || typeof record.expiresAtMs !== "number")
      return undefined;
    return secret.metadata.name === joinSecretName(record.id) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Whether `text` can be a token's id: what is looked up in Kubernetes comes from strangers. */
export function isJoinTokenId(text: string): boolean {
  return ID.test(text);
}

/** Whether `secret` is the token's, in constant time. */
export function isJoinSecret(secret: string, record: JoinTokenRecord): boolean {
  return timingSafeEqual(Buffer.from(hashOf(secret)), Buffer.from(record.hash));
}

/** What redeeming `record` comes to: "first" use, or the "same" cluster asking again. @throws MeshError TOKEN_* */
export function redeem(
  record: JoinTokenRecord,
  caller: { cluster: string; bundleHash: string },
  nowMs: number,
): "first" | "same" {
  if (nowMs > record.expiresAtMs) {
    const at = new Date(record.expiresAtMs).toISOString();
    throw new MeshError(
      "TOKEN_EXPIRED",
      `Cannot redeem the join token: it expired at ${at}. Make a new one with mesh link token.`,
    );
  }
  if (record.forCluster !== undefined && record.forCluster !== caller.cluster) {
    throw new MeshError(
      "TOKEN_INVALID",
      `Cannot redeem the join token as "${caller.cluster}": it was made for another cluster. Make one for "${caller.cluster}".`,
    );
  }
  if (record.usedBy === undefined) return "first";
  if (record.usedBy.cluster === caller.cluster && record.usedBy.bundleHash === caller.bundleHash) return "same";
  throw new MeshError(
    "TOKEN_USED",
    "Cannot redeem the join token: it was used before. Make a new one with mesh link token.",
  );
}
