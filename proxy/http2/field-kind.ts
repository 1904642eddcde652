// What a header field is to a proxy: known once per field, so that lists are read without looking names up.

export const PLAIN = 0;
export const METHOD = 1;
export const SCHEME = 2;
export const AUTHORITY = 3;
export const PATH = 4;
/** Of an extended CONNECT (RFC 8441). */
export const PROTOCOL = 5;
export const STATUS = 6;
/** A pseudo-header field that there is not; the last of their kinds, which begin with METHOD. */
export const UNKNOWN_PSEUDO = 7;
export const HOST = 8;
export const CONTENT_LENGTH = 9;
export const CONTENT_TYPE = 10;
export const TE = 11;
/** Of a connection of HTTP/1.1 (RFC 9113 section 8.2.2). */
export const FORBIDDEN = 12;
export const GRPC_STATUS = 13;
export const GRPC_TIMEOUT = 14;
/** x-causeway-*, and from here on those that a proxy reads. */
export const OURS = 15;
export const OUR_RETRIES_LEFT = 16;
export const OUR_PREFER = 17;
export const OUR_DEADLINE = 18;
export const OUR_ERROR = 19;

const KINDS: ReadonlyMap<string, number> = new Map([
  [":method", METHOD],
  [":scheme", SCHEME],
  [":authority", AUTHORITY],
  [":path", PATH],
  [":protocol", PROTOCOL],
  [":status", STATUS],
  ["host", HOST],
  ["content-length", CONTENT_LENGTH],
  ["content-type", CONTENT_TYPE],
  ["te", TE],
  ["connection", FORBIDDEN],
  ["keep-alive", FORBIDDEN],
  ["proxy-connection", FORBIDDEN],
  ["transfer-encoding", FORBIDDEN],
  ["upgrade", FORBIDDEN],
  ["grpc-status", GRPC_STATUS],
  ["grpc-timeout", GRPC_TIMEOUT],
  ["x-causeway-retries-left", OUR_RETRIES_LEFT],
  ["x-causeway-prefer", OUR_PREFER],
  ["x-causeway-deadline-ms", OUR_DEADLINE],
  ["x-causeway-error", OUR_ERROR],
]);

/** The kind of the field `name`. */
export function kindOf(name: string): number {
  const known = KINDS.get(name);
  if (known !== undefined) return known;
  if (name.startsWith(":")) return UNKNOWN_PSEUDO;
  return name.startsWith("x-causeway-") ? OURS : PLAIN;
}
