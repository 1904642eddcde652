import { canonicalAddress } from "../core/address.ts";
import { CLUSTER_DOMAIN, CLUSTERSET_DOMAIN } from "../core/defaults.ts";

/** What an app meant by `host:port`. */
export type Target =
  | { readonly kind: "service"; readonly namespace: string; readonly name: string; readonly port: number }
  | { readonly kind: "clusterset"; readonly namespace: string; readonly name: string; readonly port: number }
  | { readonly kind: "address"; readonly address: string; readonly port: number }
  /** A name within our domains that cannot name a service. */
  | { readonly kind: "nothing" }
  /** Possibly a short name of a service; else a name outside the mesh. */
  | { readonly kind: "maybe"; readonly namespace: string; readonly name: string; readonly port: number }
  | { readonly kind: "external" };

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

function splitPort(authority: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^:[\]]{1,253})):([0-9]{1,5})$/.exec(authority);
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) return undefined;
  return { host: (match[1] ?? match[2] ?? "").toLowerCase().replace(/\.$/, ""), port };
}

/**
 * Reads `<host>:<port>` as a pod in `fromNamespace` would: `web`, `web.shop`, `web.shop.svc`,
 * `web.shop.svc.cluster.local`, `web.shop.svc.clusterset.local`, an address, or something outside.
 */
export function parseAuthority(authority: string, fromNamespace: string): Target {
  const split = splitPort(authority);
  if (split === undefined) return { kind: "nothing" };
  const { host, port } = split;
  const address = canonicalAddress(host);
  if (address !== undefined) return { kind: "address", address, port };
  if (host === "localhost") return { kind: "external" };
  const labels = host.split(".");
  if (!labels.every((label) => LABEL.test(label))) return { kind: "external" };
  const [name = "", namespace = fromNamespace, svc, ...domain] = labels;
  const suffix = domain.join(".");
  if (svc === "svc" && (suffix === "" || suffix === CLUSTER_DOMAIN)) return { kind: "service", namespace, name, port };
  if (svc === "svc" && suffix === CLUSTERSET_DOMAIN) return { kind: "clusterset", namespace, name, port };
  if (host.endsWith(`.${CLUSTER_DOMAIN}`) || host.endsWith(`.${CLUSTERSET_DOMAIN}`)) return { kind: "nothing" };
  return labels.length <= 2 ? { kind: "maybe", namespace, name, port } : { kind: "external" };
}
