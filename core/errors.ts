/** What each code means to an operator; docs/operations.md tables them. Add here first. */
const CODES = {
  // usage and configuration
  USAGE: "the command line or a setting is wrong",
  CONTEXT_UNKNOWN: "the kubeconfig has no such context",
  CLUSTER_UNREACHABLE: "the cluster's API server cannot be reached",
  KUBE_DENIED: "the API server refused the credentials or the action",
  KUBE_CONFLICT: "the object changed meanwhile",
  KUBE_INVALID: "the API server found the object invalid",
  KUBE_NOT_FOUND: "the object, or its kind, does not exist",
  KUBE_FAILED: "the API server failed",
  NOT_INSTALLED: "the cluster lacks Causeway's resources",
  // links and exports
  LINK_SELF: "a cluster cannot be linked to itself",
  LINK_EXISTS: "the link exists with other settings",
  LINK_UNKNOWN: "no such link",
  EVACUATION_REFUSED: "a service would be left with nobody",
  UNLINKED: "the peer has unlinked this cluster",
  LINK_TIMEOUT: "the link did not become active in time",
  LINK_REFUSED: "the peer refused the link",
  TOKEN_INVALID: "the join token is malformed or unknown",
  TOKEN_EXPIRED: "the join token has expired",
  TOKEN_USED: "the join token was used before",
  PIN_MISMATCH: "the peer's root is not the one that the token names",
  SERVICE_UNKNOWN: "no such service",
  SERVICE_TYPE: "a service of this type cannot be exported",
  NAME_INVALID: "a name breaks its rules",
  NAME_COLLISION: "another object owns the name",
  NAMESPACE_MISSING: "the namespace does not exist",
  ADDRESS_REFUSED: "the API server refuses the address",
  // identity and trust
  IDENTITY_INVALID: "the SPIFFE ID is malformed",
  CERTIFICATE_INVALID: "the certificate breaks the rules for SVIDs",
  CERTIFICATE_EXPIRED: "the certificate is expired or not yet valid",
  CERTIFICATE_UNTRUSTED: "the chain does not end in the bundle of its own trust domain",
  TRUST_DOMAIN_UNKNOWN: "no bundle is known for the trust domain",
  IDENTITY_UNEXPECTED: "the peer is not the identity that was expected",
  BUNDLE_STALE: "the bundle's sequence is lower than the one known, or equal with other content",
  CSR_INVALID: "the certificate request breaks the rules",
  SA_TOKEN_REFUSED: "the ServiceAccount token was refused",
  CA_UNAVAILABLE: "the CA cannot sign",
  ROTATION_UNDER_WAY: "a rotation of the CA is not over",
  // registry
  REGISTRY_UNAVAILABLE: "the registry cannot be reached",
  REGISTRY_FENCED: "another holder has the lease",
  REGISTRY_COMPACTED: "the change stream no longer reaches back that far",
  REGISTRY_DENIED: "the registry refused the credentials",
  // federation protocol
  PROTOCOL_VERSION: "the peer speaks another protocol version",
  PROTOCOL_VIOLATION: "the peer broke the protocol",
  LIMIT_EXCEEDED: "a limit was reached",
  DIGEST_MISMATCH: "the two sides of a link hold different state; a snapshot follows",
  // data plane
  PROXY_NO_ENDPOINTS: "the service has no endpoint that can take the request",
  PROXY_UNKNOWN_SERVICE: "the name is not a service of this cluster",
  PROXY_NO_ROUTE: "the service has routes, and no rule of them matches the request",
  PROXY_NO_BACKEND: "the rule that matches sends the request to nobody",
  PROXY_CONNECT_FAILED: "no connection to an endpoint could be made",
  PROXY_RESET: "the endpoint closed the connection before it answered",
  PROXY_TIMEOUT: "the time for the request ran out",
  PROXY_BAD_REQUEST: "the request breaks HTTP's framing rules",
  PROXY_BAD_RESPONSE: "the response breaks HTTP's framing rules",
  PROXY_DENIED: "the caller may not call this service",
  PROXY_RATE_LIMITED: "the caller sends more requests than its rate allows",
  PROXY_OVERLOADED: "too many connections or requests",
  INTERCEPTION: "connections cannot be intercepted here",
  NODE_UNSUITABLE: "this version of Node cannot run the mesh",
  TLS_HANDSHAKE: "the TLS handshake failed",
  STREAM_CLOSED: "the connection is closed",
  STREAM_REFUSED: "the other proxy took no more; nothing of the request was delivered",
  PORT_IN_USE: "another process listens on the address",
  // local clusters and drills
  LOCAL_NOT_RUNNING: "the local clusters are not running",
  LOCAL_START: "a local process did not start",
  EXEC_FAILED: "the command in the pod failed",
  DRILL_FAILED: "the drill missed its objective",
  ABORTED: "the operation was cancelled",
  INTERNAL: "a bug",
} as const;

export type MeshErrorCode = keyof typeof CODES;

/** Every code with its one-line meaning. */
export const ERROR_MEANINGS: Readonly<Record<MeshErrorCode, string>> = CODES;

/** The one error type. Messages read "Cannot …: state. What to do."; the cause is kept. */
export class MeshError extends Error {
  readonly code: MeshErrorCode;
  constructor(code: MeshErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MeshError";
    this.code = code;
  }
}

/** `error` as a MeshError: itself where it is one, else wrapped under `code` with the cause kept. */
export function asMeshError(error: unknown, code: MeshErrorCode, doing: string): MeshError {
  if (error instanceof MeshError) return error;
  return new MeshError(code, `Cannot ${doing}: ${errorText(error)}`, { cause: error });
}

/** The message of whatever was thrown, on one line. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, " ").trim();
}

/** Whether `error` is a MeshError with one of `codes`. */
export function hasCode(error: unknown, ...codes: MeshErrorCode[]): error is MeshError {
  return error instanceof MeshError && codes.includes(error.code);
}
