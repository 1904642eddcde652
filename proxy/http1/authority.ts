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

/** Where the parts of an absolute-form target are. */
export interface AbsoluteTarget {
  readonly authority: string;
  /** Index at which the path (or query, or the end) begins. */
  readonly pathStart: number;
}

const HTTP = "http://";

/** Takes `http://authority[/path][?query]` in `b[start, end)` apart; undefined for any other scheme or with userinfo. */
export function splitAbsolute(b: Buffer, start: number, end: number): AbsoluteTarget | undefined {
  if (end - start < 8 || b.toString("latin1", start, start + 7).toLowerCase() !== HTTP) return undefined;
  let i = start + 7;
  while (i < end && b[i] !== 47 && b[i] !== 63) {
    if (b[i] === 64) return undefined;
    i++;
  }
  return { authority: b.toString("latin1", start + 7, i), pathStart: i };
}
