import type { RouteRegex } from "../../core/route-regex.ts";

/** A word of a rule in the two forms in which requests hold theirs: octets, and octets as latin1 code units. */
export interface Word {
  readonly text: string;
  readonly octets: Uint8Array;
}

/** The word of `text`, in UTF-8. */
export function word(text: string): Word {
  const octets = Buffer.from(text, "utf8");
  return { text: octets.toString("latin1"), octets };
}

/**
 * What rules ask of a request, whatever its protocol holds it in; nothing is copied unless a rule needs it. Only for
 * the duration of a call: a view is reused from request to request. Texts are octets as latin1 code units.
 */
export interface RequestView {
  /** It is a gRPC call. */
  readonly grpc: boolean;
  methodIs(method: Word): boolean;
  /** The path is without the query, and "/" where it is empty. */
  pathIs(path: Word): boolean;
  /** The path is `prefix`, or goes on with a "/" after it. `prefix` has no slash at its end. */
  pathBegins(prefix: Word): boolean;
  pathMatches(regex: RouteRegex): boolean;
  path(): string;
  /** What follows the "?"; undefined where there is none. */
  query(): string | undefined;
  /** The value of a header, of several the values joined by commas; undefined where there is none. */
  header(name: Word): string | undefined;
  /** Whether `header(name)` is `value`. */
  headerIs(name: Word, value: Word): boolean;
}
