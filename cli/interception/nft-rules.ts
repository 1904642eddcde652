// nftables rules that bring a pod's connections to its proxy. Text only: proxy-init applies it.
import { isIP } from "node:net";
import { MeshError } from "../../core/errors.ts";

/** All rules are in this table, so that they can be replaced and removed at once. */
const TABLE = "inet causeway_interception";
/** Mark of what is to be delivered here wherever it goes, and the routing table that does so; for TPROXY only. */
const LOCAL_DELIVERY = { mark: 0x4140, table: 4140 };

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

export interface RedirectRules {
  /** How the proxy's own connections are known, which must not come back to it: at least one of these. */
  readonly proxy: { readonly uid?: number; readonly gid?: number; readonly mark?: number };
  readonly outboundPort: number;
  readonly inboundPort: number;
  /** Never redirected inbound, besides `inboundPort`. */
  readonly adminPort: number;
  readonly skipOutboundPorts: readonly PortRange[];
  /** Destinations. */
  readonly skipOutboundCidrs: readonly string[];
  readonly skipInboundPorts: readonly PortRange[];
  /** Sources. */
  readonly skipInboundCidrs: readonly string[];
}

/**
 * Input of `nft -f -` that puts the rules in place of whatever earlier call left; one transaction.
 * @throws MeshError USAGE
 */
export function redirectRules(rules: RedirectRules): string {
  return tableOf([
    ...chain("outbound", "type nat hook output priority -100; policy accept;", [
      ...letThroughOutbound(rules),
      `meta l4proto tcp redirect to :${rules.outboundPort}`,
    ]),
    ...chain("inbound", "type nat hook prerouting priority -100; policy accept;", [
      ...letThroughInbound(rules),
      `meta l4proto tcp redirect to :${rules.inboundPort}`,
    ]),
  ]);
}

/**
 * The same without translation of addresses: what leaves is marked, which routes it back in by loopback
 * (`deliveryCommands`), and given to a transparent socket there. Unlike NAT's, these rules see every packet, so
 * answers are told from requests. @throws MeshError USAGE
 */
export function tproxyRules(rules: RedirectRules): string {
  const answers = "ct direction reply return";
  return tableOf([
    ...chain("outbound", "type route hook output priority -150; policy accept;", [
      answers,
      ...letThroughOutbound(rules),
      `meta l4proto tcp meta mark set ${LOCAL_DELIVERY.mark}`,
    ]),
    ...chain("inbound", "type filter hook prerouting priority -150; policy accept;", [
      `iifname "lo" meta l4proto tcp meta mark ${LOCAL_DELIVERY.mark} tproxy to :${rules.outboundPort} accept`,
      'iifname "lo" return',
      answers,
      ...letThroughInbound(rules),
      `meta l4proto tcp tproxy to :${rules.inboundPort} accept`,
    ]),
  ]);
}

/** Arguments of `ip` that have marked packets delivered on this machine, by either family, or no more. */
export function deliveryCommands(what: "add" | "delete"): readonly (readonly string[])[] {
  const { mark, table } = LOCAL_DELIVERY;
  return ["-4", "-6"].flatMap((family) => [
    [family, "rule", what, "fwmark", String(mark), "lookup", String(table)],
    [family, "route", what === "add" ? "replace" : what, "local", "default", "dev", "lo", "table", String(table)],
  ]);
}

function letThroughOutbound({ proxy, skipOutboundCidrs, skipOutboundPorts }: RedirectRules): string[] {
  const { uid, gid, mark } = proxy;
  if (uid === undefined && gid === undefined && mark === undefined)
    throw new MeshError("USAGE", "Cannot tell the proxy's connections from the app's: name its uid, gid or mark.");
  return [
    ...(uid === undefined ? [] : [`meta skuid ${uid} return`]),
    ...(gid === undefined ? [] : [`meta skgid ${gid} return`]),
    ...(mark === undefined ? [] : [`meta mark ${mark} return`]),
    // What stays on this machine is between the processes of the pod.
    'oifname "lo" return',
    ...skipOutboundCidrs.map((cidr) => `${familyOf(cidr)} daddr ${cidr} return`),
    ...skipOutboundPorts.map((range) => `tcp dport ${rangeText(range)} return`),
  ];
}

function letThroughInbound({ inboundPort, adminPort, skipInboundCidrs, skipInboundPorts }: RedirectRules): string[] {
  return [
    `tcp dport ${inboundPort} return`,
    `tcp dport ${adminPort} return`,
    ...skipInboundCidrs.map((cidr) => `${familyOf(cidr)} saddr ${cidr} return`),
    ...skipInboundPorts.map((range) => `tcp dport ${rangeText(range)} return`),
  ];
}

function tableOf(chains: readonly string[]): string {
  return [removalRules().trimEnd(), `table ${TABLE} {`, ...chains, "}", ""].join("\n");
}

/** Input of `nft -f -` that takes the rules away; nothing where there are none. */
export function removalRules(): string {
  // Deleting what is not there is an error, declaring what is there none.
  return `table ${TABLE}\ndelete table ${TABLE}\n`;
}

function chain(name: string, hook: string, rules: readonly string[]): string[] {
  return [`  chain ${name} {`, `    ${hook}`, ...rules.map((rule) => `    ${rule}`), "  }"];
}

function rangeText({ from, to }: PortRange): string {
  return from === to ? String(from) : `${from}-${to}`;
}

function familyOf(cidr: string): "ip" | "ip6" {
  return cidr.includes(":") ? "ip6" : "ip";
}

/** `25,8000-8100`. @throws MeshError USAGE */
export function parsePorts(text: string): readonly PortRange[] {
  return items(text).map((item) => {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(item);
    const from = Number(match?.[1]);
    const to = Number(match?.[2] ?? match?.[1]);
    if (match === null || from < 1 || to < from || to > 65_535)
      throw new MeshError("USAGE", `Cannot read the port "${item}": want a port or a range such as 8000-8100.`);
    return { from, to };
  });
}

/** `10.0.0.0/8,fd00::/8,192.0.2.1`. @throws MeshError USAGE */
export function parseCidrs(text: string): readonly string[] {
  return items(text).map((item) => {
    const [address = "", bits, ...more] = item.split("/");
    const family = isIP(address);
    const most = family === 4 ? 32 : 128;
    const good = family !== 0 && more.length === 0 && !address.includes("%");
    if (!good || (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > most)))
      throw new MeshError(
        "USAGE",
        `Cannot read the network "${item}": want an address, or one with its prefix length.`,
      );
    return item;
  });
}

function items(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
