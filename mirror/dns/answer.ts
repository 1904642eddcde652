import { isIP } from "node:net";
import type { Answer } from "dns-packet";
import { CLUSTER_DOMAIN, CLUSTERSET_DOMAIN } from "../../core/defaults.ts";
import type { Domain, Zone, ZoneEndpoint, ZonePort, ZoneService } from "./zone.ts";

/** Seconds that resolvers may keep an answer, or the absence of one. */
const TTL_SECONDS = 5;
/** Records in one answer; a headless Service may have more endpoints than that. */
const MAX_RECORDS = 512;

export const RCODES = { ok: 0, formatError: 1, serverFailure: 2, nameError: 3, notImplemented: 4, refused: 5 } as const;

interface Reply {
  readonly rcode: number;
  readonly answers: readonly Answer[];
  readonly additionals: readonly Answer[];
  /** The SOA, where there is no answer within our domains (RFC 2308). */
  readonly authorities: readonly Answer[];
}

/** A name that exists, with its records; undefined: it does not exist. */
interface Node {
  readonly records: readonly Answer[];
  readonly additionals?: readonly Answer[];
}

/** An existing name without records of its own. */
const EMPTY: Node = { records: [] };

/**
 * Answers one question (class IN) from the zone: the Kubernetes DNS specification 1.1.0 for `cluster.local`, and
 * KEP-1645's for `clusterset.local`. Records bear the name as asked.
 */
export function answer(question: { readonly name: string; readonly type: string }, zone: Zone): Reply {
  const asked = question.name.replace(/\.$/, "");
  const name = asked.toLowerCase();
  const domain = domainOf(name);
  if (domain === undefined) return { rcode: RCODES.refused, answers: [], additionals: [], authorities: [] };
  if (!zone.ready) return { rcode: RCODES.serverFailure, answers: [], additionals: [], authorities: [] };
  const suffix = suffixOf(domain);
  const labels = name === suffix ? [] : name.slice(0, -suffix.length - 1).split(".");
  const node = find(labels, domain, asked, zone);
  const soa = soaRecord(domain);
  if (node === undefined) return { rcode: RCODES.nameError, answers: [], additionals: [], authorities: [soa] };
  const answers = node.records.filter((record) => matches(record.type, question.type)).slice(0, MAX_RECORDS);
  const additionals = !answers.some(({ type }) => type === "SRV") ? [] : (node.additionals ?? []).slice(0, MAX_RECORDS);
  return { rcode: RCODES.ok, answers, additionals, authorities: answers.length === 0 ? [soa] : [] };
}

/** RFC 8482: whoever asks for ANY gets what there is of the small records. A CNAME answers every type. */
function matches(have: string, want: string): boolean {
  return have === want || want === "ANY" || have === "CNAME";
}

function domainOf(name: string): Domain | undefined {
  for (const domain of ["cluster", "clusterset"] as const) {
    const suffix = suffixOf(domain);
    if (name === suffix || name.endsWith(`.${suffix}`)) return domain;
  }
  return undefined;
}

function suffixOf(domain: Domain): string {
  return domain === "cluster" ? CLUSTER_DOMAIN : CLUSTERSET_DOMAIN;
}

function find(labels: readonly string[], domain: Domain, asked: string, zone: Zone): Node | undefined {
  const [last, namespace, name, ...host] = [...labels].reverse();
  if (last === undefined) return { records: [soaRecord(domain), nsRecord(domain)] };
  if (last === "dns-version" && namespace === undefined) {
    const version = domain === "cluster" ? "1.1.0" : "1.0.0";
    return { records: [{ type: "TXT", name: asked, ttl: TTL_SECONDS, data: version }] };
  }
  if (last !== "svc") return undefined;
  if (namespace === undefined) return EMPTY;
  if (name === undefined) return zone.hasNamespace(domain, namespace) ? EMPTY : undefined;
  const service = zone.service(domain, namespace, name);
  if (service === undefined) return undefined;
  const base = `${name}.${namespace}.svc.${suffixOf(domain)}`;
  return below(service, domain, base, host, asked);
}

/** What is at `host` (reversed labels) below a service's own name. */
function below(
  service: ZoneService,
  domain: Domain,
  base: string,
  host: readonly string[],
  asked: string,
): Node | undefined {
  const [first, second, ...rest] = host;
  if (first === undefined) return serviceNode(service, domain, base, asked);
  if (rest.length > 0) return undefined;
  if (first.startsWith("_")) {
    const ports = (list: readonly ZonePort[]) => list.filter((p) => `_${p.protocol}` === first && p.name !== "");
    const known = service.kind === "headless" ? service.endpoints.flatMap((e) => ports(e.ports)) : ports(service.ports);
    if (known.length === 0) return undefined;
    if (second === undefined) return EMPTY;
    if (!known.some((p) => `_${p.name}` === second)) return undefined;
    return srvNode(service, domain, base, asked, (p) => `_${p.protocol}` === first && `_${p.name}` === second);
  }
  if (service.kind !== "headless") return undefined;
  if (domain === "cluster") {
    const found = service.endpoints.filter(({ hostname }) => hostname === first);
    return second === undefined && found.length > 0 ? { records: addresses(found, asked) } : undefined;
  }
  // `<clusterid>.<service>…` alone is never a name with records (KEP-1645), only what is below it.
  const inCluster = service.endpoints.filter(({ cluster }) => cluster === first);
  if (second === undefined) return inCluster.length > 0 ? EMPTY : undefined;
  const found = inCluster.filter(({ hostname }) => hostname === second);
  return found.length > 0 ? { records: addresses(found, asked) } : undefined;
}

function serviceNode(service: ZoneService, domain: Domain, base: string, asked: string): Node | undefined {
  switch (service.kind) {
    case "alias":
      return { records: [{ type: "CNAME", name: asked, ttl: TTL_SECONDS, data: service.target }] };
    case "headless": {
      // Without a ready endpoint the name does not exist (both specifications).
      if (service.endpoints.length === 0) return undefined;
      const srv = srvNode(service, domain, base, asked, () => true);
      return { ...srv, records: [...addresses(service.endpoints, asked), ...srv.records] };
    }
    case "address": {
      const srv = srvNode(service, domain, base, asked, () => true);
      return { ...srv, records: [...service.ips.flatMap((ip) => addressRecord(asked, ip)), ...srv.records] };
    }
    default:
      return service.kind satisfies never;
  }
}

/** SRV records of the ports that are `wanted`, each pair of port and target once, with the targets' addresses. */
function srvNode(
  service: ZoneService,
  domain: Domain,
  base: string,
  asked: string,
  wanted: (port: ZonePort) => boolean,
): Node {
  const found = new Map<string, Answer>();
  const additionals = new Map<string, Answer>();
  const add = (port: ZonePort, target: string, ips: readonly string[]) => {
    const data = { priority: 0, weight: 100, port: port.port, target };
    found.set(`${port.port} ${target}`, { type: "SRV", name: asked, ttl: TTL_SECONDS, data });
    for (const ip of ips) for (const record of addressRecord(target, ip)) additionals.set(`${target} ${ip}`, record);
  };
  if (service.kind === "address") for (const port of service.ports.filter(wanted)) add(port, base, service.ips);
  for (const endpoint of service.endpoints) {
    const target =
      domain === "cluster" ? `${endpoint.hostname}.${base}` : `${endpoint.hostname}.${endpoint.cluster}.${base}`;
    for (const port of endpoint.ports.filter(wanted)) add(port, target, [endpoint.address]);
  }
  return { records: [...found.values()], additionals: [...additionals.values()] };
}

function addresses(endpoints: readonly ZoneEndpoint[], name: string): Answer[] {
  return [...new Set(endpoints.map(({ address }) => address))].flatMap((address) => addressRecord(name, address));
}

function addressRecord(name: string, address: string): Answer[] {
  switch (isIP(address)) {
    case 4:
      return [{ type: "A", name, ttl: TTL_SECONDS, data: address }];
    case 6:
      return [{ type: "AAAA", name, ttl: TTL_SECONDS, data: address }];
    default:
      return [];
  }
}

function soaRecord(domain: Domain): Answer {
  const suffix = suffixOf(domain);
  // Nobody transfers the zone, so the serial need not rise.
  const data = {
    mname: `ns.dns.${suffix}`,
    rname: `hostmaster.${suffix}`,
    serial: 1,
    refresh: 7_200,
    retry: 1_800,
    expire: 86_400,
    minimum: TTL_SECONDS,
  };
  return { type: "SOA", name: suffix, ttl: TTL_SECONDS, data };
}

function nsRecord(domain: Domain): Answer {
  const suffix = suffixOf(domain);
  return { type: "NS", name: suffix, ttl: TTL_SECONDS, data: `ns.dns.${suffix}` };
}
