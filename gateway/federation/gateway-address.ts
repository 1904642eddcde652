import { isIP } from "node:net";
import { MeshError } from "../../core/errors.ts";
import type { GatewayAddress } from "../../core/link.ts";

const HOST =
  /^(?=.{1,253}$)[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;
const ZONE = /^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62})?$/;

/** Whether `value` is a port that can be dialled. */
export function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

/** Whether `text` can be a zone's name; empty is no zone. */
export function isZone(text: unknown): text is string {
  return text === "" || (typeof text === "string" && ZONE.test(text));
}

/** A gateway address that came from outside. @throws MeshError NAME_INVALID */
export function parseGatewayAddress(value: unknown): GatewayAddress {
  const {
    host,
    relayPort,
    federationPort,
    zone = "",
  } = (value ?? {}) as Partial<Record<keyof GatewayAddress, unknown>>;
  if (typeof host !== "string" || !(isIP(host) !== 0 || HOST.test(host))) {
    throw new MeshError(
      "NAME_INVALID",
      "Cannot use the gateway address: its host is neither an IP address nor a name.",
    );
  }
  if (!isPort(relayPort) || !isPort(federationPort)) {
    throw new MeshError("NAME_INVALID", `Cannot use the gateway address ${host}: its ports are not 1 to 65535.`);
  }
  if (!isZone(zone))
    throw new MeshError("NAME_INVALID", `Cannot use the gateway address ${host}: its zone is malformed.`);
  return { host, relayPort, federationPort, zone };
}

/** `host:port` of the gateway's federation port, with IPv6 in brackets; its name within the kind. */
export function federationAuthority({ host, federationPort }: { host: string; federationPort: number }): string {
  return isIP(host) === 6 ? `[${host}]:${federationPort}` : `${host}:${federationPort}`;
}
