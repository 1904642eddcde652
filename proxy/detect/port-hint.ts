import { OPAQUE_PORTS } from "../../core/service.ts";

/** What is known of a port's protocol before its first byte: `http` of either version, `opaque`, or nothing. */
export type PortHint = "http" | "opaque" | "detect";

/** By Kubernetes' and Istio's words for it; TLS of the app's own is nothing that a proxy can read. */
const HINTS: ReadonlyMap<string, PortHint> = new Map([
  ["http", "http"],
  ["http2", "http"],
  ["grpc", "http"],
  ["grpc-web", "http"],
  ["kubernetes.io/h2c", "http"],
  ["kubernetes.io/ws", "http"],
  ["kubernetes.io/wss", "opaque"],
  ["opaque", "opaque"],
  ["tcp", "opaque"],
  ["tls", "opaque"],
  ["https", "opaque"],
  ["mysql", "opaque"],
  ["mongo", "opaque"],
  ["redis", "opaque"],
]);

const HTTP2_ONLY: ReadonlySet<string> = new Set(["http2", "grpc", "kubernetes.io/h2c"]);

/** Whether `appProtocol` says that HTTP/1.1 is not understood there. */
export function isHttp2Only(appProtocol: string): boolean {
  return HTTP2_ONLY.has(appProtocol.toLowerCase());
}

/** `appProtocol` of the port as discovery says it, "" where it does not; a port of a server-first protocol is opaque. */
export function portHint(appProtocol: string, port: number): PortHint {
  const known = HINTS.get(appProtocol.toLowerCase());
  if (known !== undefined) return known;
  return OPAQUE_PORTS.has(port) ? "opaque" : "detect";
}
