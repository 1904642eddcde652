import type { Refusal } from "../http1/engine.ts";

export const GRPC_CANCELLED = 1;
const GRPC_UNKNOWN = 2;
const GRPC_DEADLINE_EXCEEDED = 4;
const GRPC_RESOURCE_EXHAUSTED = 8;
const GRPC_INTERNAL = 13;
export const GRPC_UNAVAILABLE = 14;

/** The gRPC status of an HTTP status that bears none (gRPC's http-grpc-status-mapping.md). */
export function grpcStatusOfHttp(status: number): number {
  switch (status) {
    case 400:
    case 431:
      return GRPC_INTERNAL;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
    case 408:
      return GRPC_UNAVAILABLE;
    default:
      return GRPC_UNKNOWN;
  }
}

/** The gRPC status of an answer of our own: what the code says exactly, else as of its HTTP status. */
export function grpcStatusOfRefusal({ code, status }: Refusal): number {
  if (code === "PROXY_TIMEOUT") return GRPC_DEADLINE_EXCEEDED;
  return code === "PROXY_RATE_LIMITED" ? GRPC_RESOURCE_EXHAUSTED : grpcStatusOfHttp(status);
}

/** The gRPC status of a stream that was reset (gRPC's PROTOCOL-HTTP2.md, "Errors"). */
export function grpcStatusOfReset(code: number): number {
  switch (code) {
    case 7:
      return GRPC_UNAVAILABLE;
    case 8:
      return GRPC_CANCELLED;
    case 11:
      return 8;
    case 12:
      return 7;
    default:
      return GRPC_INTERNAL;
  }
}

/** `text` as grpc-message wants it: UTF-8, percent-encoded but for printable ASCII. */
export function grpcMessage(text: string): string {
  return [...Buffer.from(text, "utf8")]
    .map((byte) =>
      byte >= 0x20 && byte < 0x7f && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
    )
    .join("");
}
