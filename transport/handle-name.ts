import type { TLSSocket } from "node:tls";
import type { SocketHandle, StreamHandle } from "./handle-binding.ts";

export interface SocketName {
  readonly address: string;
  readonly port: number;
}

/** Of unix sockets, and of what is closed. */
export const NOWHERE: SocketName = { address: "", port: 0 };

/** The other end of an open `handle`, or this one; under TLS `socket` knows it. */
export function nameOf(
  handle: StreamHandle,
  socket: TLSSocket | undefined,
  which: "getpeername" | "getsockname",
): SocketName {
  if (socket !== undefined) {
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    const [address, port] = which === "getpeername" ? [remoteAddress, remotePort] : [localAddress, localPort];
    return { address: address ?? "", port: port ?? 0 };
  }
  const named = handle as SocketHandle;
  if (named[which] === undefined) return NOWHERE;
  const out: { address?: string; port?: number } = {};
  if (named[which](out) !== 0) return NOWHERE;
  return { address: out.address ?? "", port: out.port ?? 0 };
}
