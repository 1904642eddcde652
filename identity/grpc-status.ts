import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { asMeshError, ERROR_MEANINGS, type MeshError, type MeshErrorCode } from "../core/errors.ts";
import { CODE_KEY, callError, MAX_DETAILS } from "./grpc-failure.ts";

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

/** A failed call of grpc-js as a MeshError: see callError. */
export function meshErrorOf(error: Error & Partial<StatusObject>, doing: string, unreached?: MeshError): MeshError {
  const [given] = error.metadata?.get(CODE_KEY) ?? [];
  const failure = {
    status: error.code ?? status.UNKNOWN,
    details: error.details || error.message,
    given,
    cause: error,
  };
  return callError(failure, doing, unreached);
}
