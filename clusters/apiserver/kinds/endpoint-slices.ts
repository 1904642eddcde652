import { isIP, isIPv4 } from "node:net";
import { type ApiObject, isRecord, listAt, textAt } from "../object.ts";
import { type Cause, duplicate, invalidValue, notSupported, required } from "../status.ts";
import { AGE_COLUMN, column, NAME_COLUMN } from "./columns.ts";
import type { Column, Strategy } from "./kind.ts";
import { immutable, nameFaults } from "./metadata.ts";

const TYPES = ["IPv4", "IPv6", "FQDN"];
const MAX_ENDPOINTS = 1000;
const MAX_ADDRESSES = 100;

/** Why a real API server refuses an address in an endpoint; "" where it does not (ValidateNonSpecialIP). */
function specialAddress(ip: string): string {
  if (ip === "0.0.0.0" || ip === "::") return "may not be unspecified (0.0.0.0 or ::)";
  if (ip.startsWith("127.") || ip === "::1") return "may not be in the loopback range (127.0.0.0/8, ::1/128)";
  if (ip.startsWith("169.254.") || /^fe[89ab]/i.test(ip))
    return "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
  if (ip.startsWith("224.0.0.") || /^ff02:/i.test(ip))
    return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
  return "";
}

function addressCauses(type: string, address: string, field: string, allowLoopback: boolean): Cause[] {
  if (type === "FQDN") return nameFaults(address, "subdomain").map((fault) => invalidValue(field, address, fault));
  const fits = type === "IPv4" ? isIPv4(address) : isIP(address) === 6;
  if (!fits) return [invalidValue(field, address, `must be a valid ${type} address`)];
  const special = specialAddress(address);
  if (special === "" || (allowLoopback && special.includes("loopback"))) return [];
  return [invalidValue(field, address, special)];
}

function portCauses(slice: ApiObject): Cause[] {
  const causes: Cause[] = [];
  const names = new Set<string>();
  for (const [i, port] of listAt(slice, "ports").entries()) {
    const field = `ports[${i}]`;
    const name = textAt(port, "name");
    if (names.has(name)) causes.push(duplicate(`${field}.name`, name));
    names.add(name);
    if (name !== "")
      for (const fault of nameFaults(name, "label")) causes.push(invalidValue(`${field}.name`, name, fault));
    const protocol = textAt(port, "protocol");
    if (!["TCP", "UDP", "SCTP"].includes(protocol))
      causes.push(notSupported(`${field}.protocol`, protocol, ["SCTP", "TCP", "UDP"]));
    const number = isRecord(port) ? port["port"] : undefined;
    if (typeof number === "number" && (number < 1 || number > 65_535)) {
      causes.push(invalidValue(`${field}.port`, number, "must be between 1 and 65535, inclusive"));
    }
  }
  return causes;
}

export const ENDPOINT_SLICE_STRATEGY: Strategy = {
  defaults(slice) {
    if (!Array.isArray(slice["endpoints"])) slice["endpoints"] = [];
    for (const port of listAt(slice, "ports")) {
      if (!isRecord(port)) continue;
      if (port["name"] === undefined) port["name"] = "";
      if (port["protocol"] === undefined) port["protocol"] = "TCP";
    }
  },
  validate(slice, { allowLoopbackEndpoints }) {
    const causes: Cause[] = [];
    const type = textAt(slice, "addressType");
    if (type === "") causes.push(required("addressType"));
    else if (!TYPES.includes(type)) causes.push(notSupported("addressType", type, TYPES));
    const endpoints = listAt(slice, "endpoints");
    if (endpoints.length > MAX_ENDPOINTS) {
      causes.push({
        reason: "FieldValueTooMany",
        field: "endpoints",
        message: `Too many: ${endpoints.length}: must have at most ${MAX_ENDPOINTS} items`,
      });
    }
    for (const [i, endpoint] of endpoints.entries()) {
      const field = `endpoints[${i}].addresses`;
      const addresses = listAt(endpoint, "addresses");
      if (addresses.length === 0) causes.push(required(field, "must contain at least 1 address"));
      if (addresses.length > MAX_ADDRESSES) {
        causes.push({
          reason: "FieldValueTooMany",
          field,
          message: `Too many: ${addresses.length}: must have at most ${MAX_ADDRESSES} items`,
        });
      }
      if (!TYPES.includes(type)) continue;
      for (const [j, address] of addresses.entries()) {
        causes.push(...addressCauses(type, String(address), `${field}[${j}]`, allowLoopbackEndpoints));
      }
      const hostname = textAt(endpoint, "hostname");
      if (hostname !== "")
        for (const fault of nameFaults(hostname, "label"))
          causes.push(invalidValue(`endpoints[${i}].hostname`, hostname, fault));
    }
    return [...causes, ...portCauses(slice)];
  },
  validateUpdate: (slice, old) => immutable("addressType", slice["addressType"], old["addressType"]),
};

function endpointsText(slice: ApiObject): string {
  const addresses = listAt(slice, "endpoints").flatMap((endpoint) => listAt(endpoint, "addresses"));
  if (addresses.length === 0) return "<unset>";
  const more = addresses.length > 3 ? ` + ${addresses.length - 3} more...` : "";
  return addresses.slice(0, 3).join(",") + more;
}

function portsText(slice: ApiObject): string {
  const ports = listAt(slice, "ports").map((port) => String(isRecord(port) ? (port["port"] ?? "*") : "*"));
  if (ports.length === 0) return "<unset>";
  const more = ports.length > 3 ? ` + ${ports.length - 3} more...` : "";
  return ports.slice(0, 3).join(",") + more;
}

export const ENDPOINT_SLICE_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("AddressType", (slice) => textAt(slice, "addressType")),
  column("Ports", portsText),
  column("Endpoints", endpointsText),
  AGE_COLUMN,
];
