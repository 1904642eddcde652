import { ascii, matches } from "./syntax.ts";

/** A host and port as a client named them, normalised. */
export interface Authority {
  /** `<host>:<port>`, lower case, without a trailing dot; what control is asked. */
  readonly key: string;
  readonly host: string;
  readonly port: number;
}

const HOST_PORT = /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?)(?::(\d{1,5}))?$/;

/** Parses `host[:port]` (a Host field, or the authority of an absolute-form target); undefined where malformed. */
export function parseAuthority(text: string, defaultPort: number): Authority | undefined {
  const match = HOST_PORT.exec(text);
  if (match === null) return undefined;
  const [, name = "", digits] = match;
  const port = digits === undefined ? defaultPort : Number(digits);
  if (port < 1 || port > 65_535 || name.includes("..")) return undefined;
  const host = name.toLowerCase().replace(/\.$/, "");
  if (host === "") return undefined;
  return { key: `${host}:${port}`, host: host.startsWith("[") ? host.slice(1, -1) : host, port };
}

const HTTP = ascii("http://");
/** Where the authority of an absolute-form target begins in it. */
export const AUTHORITY_AT = HTTP.length;

/**
 * Where the authority of the absolute-form target `http://authority[/path][?query]` in `b[start, end)` ends and the
 * path, the query or nothing begins; -1 for any other scheme or with userinfo.
 */
export function authorityEnd(b: Buffer, start: number, end: number): number {
  if (end - start <= AUTHORITY_AT || !matches(b, start, HTTP)) return -1;
  let i = start + AUTHORITY_AT;
  while (i < end && b[i] !== 47 && b[i] !== 63) {
    if (b[i] === 64) return -1;
    i++;
  }
  return i;
}
