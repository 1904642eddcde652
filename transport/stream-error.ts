import { getSystemErrorName } from "node:util";
import { errorText, MeshError } from "../core/errors.ts";

interface CodedError extends Error {
  code?: unknown;
  reason?: unknown;
}

function coded(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** The errno or OpenSSL code of `error`, else its message. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return errorText(error);
  const { code, reason } = error as CodedError;
  if (typeof reason === "string") return reason;
  if (typeof code === "string") return code;
  return errorText(error);
}

/** A libuv status as an error with `code`, as Node's own have it. */
export function systemError(status: number): Error {
  return coded(status < 0 ? getSystemErrorName(status) : "UNKNOWN");
}

export function closedError(cause: unknown): MeshError {
  return new MeshError("STREAM_CLOSED", `Cannot go on with the connection: ${reasonOf(cause)}.`, { cause });
}

/** Of a multiplexed stream whose other side read nothing of what it was sent last. */
export function refusedError(): MeshError {
  return new MeshError("STREAM_REFUSED", "Cannot use the stream: the other side takes no more. Open another one.");
}

export function connectError(target: string, cause: unknown): MeshError {
  return new MeshError("PROXY_CONNECT_FAILED", `Cannot connect to ${target}: ${reasonOf(cause)}.`, { cause });
}

export function connectTimeout(target: string, timeoutMs: number): MeshError {
  return new MeshError("PROXY_CONNECT_FAILED", `Cannot connect to ${target}: no answer within ${timeoutMs} ms.`, {
    cause: coded("ETIMEDOUT"),
  });
}

export function handshakeError(target: string, cause: unknown): MeshError {
  if (cause instanceof MeshError) return cause;
  return new MeshError("TLS_HANDSHAKE", `Cannot finish the TLS handshake with ${target}: ${reasonOf(cause)}.`, {
    cause,
  });
}

export function overflowError(maxBytes: number): MeshError {
  return new MeshError(
    "LIMIT_EXCEEDED",
    `Cannot hold more than ${maxBytes} bytes for a connection: the peer reads too slowly.`,
  );
}

export function callbackError(cause: unknown): MeshError {
  if (cause instanceof MeshError) return cause;
  return new MeshError("INTERNAL", `Cannot serve the connection: ${errorText(cause)}.`, { cause });
}

export function listenError(target: string, cause: unknown): MeshError {
  if (reasonOf(cause) === "EADDRINUSE") {
    return new MeshError(
      "PORT_IN_USE",
      `Cannot listen on ${target}: the address is taken. Stop the other process or choose another port.`,
      { cause },
    );
  }
  return new MeshError("USAGE", `Cannot listen on ${target}: ${reasonOf(cause)}. Choose an address of this machine.`, {
    cause,
  });
}
