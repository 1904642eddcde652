import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { MeshError } from "../../core/errors.ts";
import type { GatewayAddress } from "../../core/link.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import type { Secret } from "../../kube/resources.ts";
import { LOCAL_BUNDLE } from "../../registry/state.ts";
import { parseGatewayAddress } from "./gateway-address.ts";

/** What both sides of a link keep in its Secret once they joined. */
export interface JoinedLink {
  /** 32 bytes. */
  readonly linkSecret: Uint8Array;
  readonly bundle: TrustBundle;
  /** The peer's gateways as it last told them. */
  readonly gateways: readonly GatewayAddress[];
  /** Rises with each join: part of what names the routes. */
  readonly epoch: bigint;
  /** Id of the token that made it. */
  readonly joinedBy: string;
}

/** A link's Secret, read. Either may be there: a token beside a joined link asks for another join. */
export interface LinkRecord {
  readonly token?: string;
  readonly joined?: JoinedLink;
}

/** Name of the Secret of the link to `cluster`, as the accepting side makes it. */
export function linkSecretName(cluster: string): string {
  return `causeway-link-${cluster}`;
}

const encode = (text: string) => Buffer.from(text).toString("base64");
const decode = (data: string | undefined) =>
  data === undefined ? undefined : Buffer.from(data, "base64").toString("utf8");

/** A joined link as the Secret's data, without a token. */
export function joinedData({ linkSecret, bundle, gateways, epoch, joinedBy }: JoinedLink): Record<string, string> {
  return {
    linkSecret: Buffer.from(linkSecret).toString("base64"),
    bundle: encode(LOCAL_BUNDLE.encode(bundle)),
    gateways: encode(JSON.stringify(gateways)),
    epoch: encode(epoch.toString()),
    joinedBy: encode(joinedBy),
  };
}

/** A new Secret of a joined link. */
export function joinedSecret(cluster: string, joined: JoinedLink): Secret {
  const metadata = {
    name: linkSecretName(cluster),
    namespace: SYSTEM_NAMESPACE,
    labels: { "causeway.dev/link": cluster },
  };
  return { apiVersion: "v1", kind: "Secret", metadata, type: "causeway.dev/link", data: joinedData(joined) };
}

/** @throws MeshError INTERNAL where a joined link is unreadable: link anew */
export function readLinkRecord(secret: Secret | undefined): LinkRecord {
  const data = secret?.data ?? {};
  const token = decode(data["token"])?.trim();
  const linkSecret = Buffer.from(data["linkSecret"] ?? "", "base64");
  const record = token ? { token } : {};
  if (linkSecret.length === 0) return record;
  try {
    if (linkSecret.length !== 32) throw new MeshError("INTERNAL", "Cannot use the link secret: it is not 32 bytes.");
    const bundle = LOCAL_BUNDLE.decode(decode(data["bundle"]) ?? "");
    const gateways = (JSON.parse(decode(data["gateways"]) ?? "[]") as unknown[]).slice(0, 16).map(parseGatewayAddress);
    const epoch = BigInt(decode(data["epoch"]) ?? "0");
    const joinedBy = decode(data["joinedBy"]) ?? "";
    return { ...record, joined: { linkSecret: new Uint8Array(linkSecret), bundle, gateways, epoch, joinedBy } };
  } catch (cause) {
    throw new MeshError(
      "INTERNAL",
      `Cannot read Secret ${secret?.metadata.name ?? ""}: it is damaged. Unlink and link anew.`,
      { cause },
    );
  }
}
