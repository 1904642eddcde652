import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import { parseTrustDomain, type TrustDomain } from "../../core/identity.ts";
import type { Log } from "../../core/log.ts";
import type { Informer } from "../../kube/client.ts";
import type { Link, Secret } from "../../kube/resources.ts";
import type { RoutePeer } from "../route-table.ts";
import { type LinkRecord, readLinkRecord } from "./link-record.ts";

/** What Secrets hold, by the Secret as it was read: each change of one Link reads all of them again. */
export type KnownRecords = WeakMap<Secret, LinkRecord>;

/** All Links with what their Secrets hold; nothing, and a line in the log, of one that cannot be used. */
export function readLinks(
  { links, secrets }: { readonly links: Informer<Link>; readonly secrets: Informer<Secret> },
  own: TrustDomain,
  log: Log,
  known: KnownRecords = new WeakMap(),
): Map<Link, LinkRecord> {
  const records = new Map<Link, LinkRecord>();
  for (const link of links.list()) {
    try {
      records.set(link, readLink(link, secrets.get(link.spec.secretName, SYSTEM_NAMESPACE), own, known));
    } catch (error) {
      log.error("link unreadable", { link: link.metadata.name, reason: errorText(error) });
      records.set(link, {});
    }
  }
  return records;
}

function readLink({ spec }: Link, secret: Secret | undefined, own: TrustDomain, known: KnownRecords): LinkRecord {
  parseTrustDomain(spec.trustDomain);
  const record = (secret && known.get(secret)) ?? readLinkRecord(secret);
  if (secret !== undefined) known.set(secret, record);
  const trustDomain = record.joined?.bundle.trustDomain;
  if (trustDomain === undefined) return record;
  // A Secret changed by hand must not let one cluster speak for another.
  if (trustDomain === spec.trustDomain && trustDomain !== own) return record;
  throw new MeshError(
    "IDENTITY_UNEXPECTED",
    `Cannot use the bundle of ${trustDomain}: the link is to ${spec.trustDomain}.`,
  );
}

/** The linked clusters by name, as `cluster` names routes for them. */
export function routePeers(records: ReadonlyMap<Link, LinkRecord>, cluster: string): Map<string, RoutePeer> {
  const peers = new Map<string, RoutePeer>();
  for (const [{ metadata, spec }, { joined }] of records) {
    if (joined === undefined || metadata.deletionTimestamp !== undefined) continue;
    const { linkSecret, epoch } = joined;
    peers.set(metadata.name, { linkSecret, epoch, cluster, offered: spec.export });
  }
  return peers;
}
