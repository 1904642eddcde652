import { ERROR_MEANINGS, errorText, MeshError, type MeshErrorCode } from "../core/errors.ts";

/** Where a service of ours tells its MeshError's code, among the trailers. */
export const CODE_KEY = "causeway-code";
export const MAX_DETAILS = 500;

/** Statuses that mean something of their own here (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md). */
export const GRPC_STATUS = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  DEADLINE_EXCEEDED: 4,
  RESOURCE_EXHAUSTED: 8,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;

/** How a call ended that did not succeed. */
export interface CallFailure {
  readonly status: number;
  readonly details: string;
  /** Of metadata CODE_KEY. */
  readonly given?: unknown;
  readonly cause?: unknown;
}

function isCode(text: unknown): text is MeshErrorCode {
  return typeof text === "string" && Object.hasOwn(ERROR_MEANINGS, text);
}

/**
 * A failed call as a MeshError: the code that the server gave; else ABORTED for a cancelled call, `unreached`'s
 * own (why no connection came about) or STREAM_CLOSED for one that did not get through, PROTOCOL_VIOLATION for others.
 */
export function callError(
  { status, details, given, cause }: CallFailure,
  doing: string,
  unreached?: MeshError,
): MeshError {
  const text = errorText(details).slice(0, MAX_DETAILS);
  if (isCode(given)) return new MeshError(given, text, { cause });
  switch (status) {
    case GRPC_STATUS.CANCELLED:
      return new MeshError("ABORTED", `Cannot ${doing}: cancelled.`, { cause });
    case GRPC_STATUS.UNAVAILABLE:
    case GRPC_STATUS.DEADLINE_EXCEEDED:
      return unreached ?? new MeshError("STREAM_CLOSED", `Cannot ${doing}: ${text}`, { cause });
    case GRPC_STATUS.RESOURCE_EXHAUSTED:
      return new MeshError("LIMIT_EXCEEDED", `Cannot ${doing}: ${text}`, { cause });
    default:
      return new MeshError("PROTOCOL_VIOLATION", `Cannot ${doing}: ${text}`, { cause });
  }
}
