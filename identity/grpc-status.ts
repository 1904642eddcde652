import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { asMeshError, ERROR_MEANINGS, errorText, MeshError, type MeshErrorCode } from "../core/errors.ts";

const CODE_KEY = "causeway-code";
const MAX_DETAILS = 500;

/** The gRPC status of each code that a service of ours answers with; INTERNAL for others. */
const STATUS: Readonly<Partial<Record<MeshErrorCode, status>>> = {
  CSR_INVALID: status.INVALID_ARGUMENT,
  USAGE: status.INVALID_ARGUMENT,
  IDENTITY_INVALID: status.INVALID_ARGUMENT,
  PROTOCOL_VIOLATION: status.INVALID_ARGUMENT,
  SA_TOKEN_REFUSED: status.UNAUTHENTICATED,
  TOKEN_INVALID: status.UNAUTHENTICATED,
  TOKEN_EXPIRED: status.UNAUTHENTICATED,
  TOKEN_USED: status.UNAUTHENTICATED,
  CERTIFICATE_INVALID: status.UNAUTHENTICATED,
  CERTIFICATE_EXPIRED: status.UNAUTHENTICATED,
  CERTIFICATE_UNTRUSTED: status.UNAUTHENTICATED,
  TRUST_DOMAIN_UNKNOWN: status.UNAUTHENTICATED,
  IDENTITY_UNEXPECTED: status.PERMISSION_DENIED,
  LINK_REFUSED: status.PERMISSION_DENIED,
  LINK_UNKNOWN: status.PERMISSION_DENIED,
  UNLINKED: status.PERMISSION_DENIED,
  LINK_SELF: status.FAILED_PRECONDITION,
  LINK_EXISTS: status.ALREADY_EXISTS,
  BUNDLE_STALE: status.FAILED_PRECONDITION,
  PROTOCOL_VERSION: status.FAILED_PRECONDITION,
  LIMIT_EXCEEDED: status.RESOURCE_EXHAUSTED,
  CA_UNAVAILABLE: status.UNAVAILABLE,
  CLUSTER_UNREACHABLE: status.UNAVAILABLE,
  REGISTRY_UNAVAILABLE: status.UNAVAILABLE,
  ABORTED: status.CANCELLED,
};

/** What a client is told of `error`: status, message and, as metadata, the code. Bugs are told as INTERNAL, without details. */
export function grpcStatusOf(error: unknown): StatusObject {
  const { code, message } = asMeshError(error, "INTERNAL", "answer");
  const metadata = new Metadata();
  metadata.set(CODE_KEY, code);
  const known = STATUS[code];
  const details = known === undefined ? `Cannot answer: ${ERROR_MEANINGS[code]}.` : message.slice(0, MAX_DETAILS);
  return { code: known ?? status.INTERNAL, details: details.replace(/[^\x20-\x7e]/g, " "), metadata };
}

function isCode(text: unknown): text is MeshErrorCode {
  return typeof text === "string" && Object.hasOwn(ERROR_MEANINGS, text);
}

/**
 * A failed call as a MeshError: the code that the server gave; else ABORTED for a cancelled call, `unreached`'s
 * own (why no connection came about) or STREAM_CLOSED for one that did not get through, PROTOCOL_VIOLATION for others.
 */
export function meshErrorOf(error: Error & Partial<StatusObject>, doing: string, unreached?: MeshError): MeshError {
  const [given] = error.metadata?.get(CODE_KEY) ?? [];
  const text = errorText(error.details || error.message).slice(0, MAX_DETAILS);
  if (isCode(given)) return new MeshError(given, text, { cause: error });
  switch (error.code) {
    case status.CANCELLED:
      return new MeshError("ABORTED", `Cannot ${doing}: cancelled.`, { cause: error });
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return unreached ?? new MeshError("STREAM_CLOSED", `Cannot ${doing}: ${text}`, { cause: error });
    case status.RESOURCE_EXHAUSTED:
      return new MeshError("LIMIT_EXCEEDED", `Cannot ${doing}: ${text}`, { cause: error });
    default:
      return new MeshError("PROTOCOL_VIOLATION", `Cannot ${doing}: ${text}`, { cause: error });
  }
}
