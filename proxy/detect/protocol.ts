// Which protocol a client speaks, by its first bytes. Pure: whoever reads them waits, bounds and acts.
import { parseClientHello } from "../../transport/client-hello.ts";
import { CLASS, TARGET, TOKEN } from "../http1/syntax.ts";

export type Detected =
  /** `forProxy`: CONNECT or an absolute URL, which only a forward proxy is sent. */
  | { readonly kind: "http1"; readonly forProxy: boolean }
  | { readonly kind: "http2" }
  /** `serverName` is "" where the client names none. */
  | { readonly kind: "tls"; readonly serverName: string; readonly alpn: readonly string[] }
  | { readonly kind: "opaque" };

export type Detection = Detected | { readonly kind: "needMore" };

/** Whoever needs more first bytes than this is taken for opaque. A ClientHello of browsers takes about 2 KiB. */
export const MAX_DETECT_BYTES = 16_384;

const HTTP1: Detected = { kind: "http1", forProxy: false };
const HTTP1_FOR_PROXY: Detected = { kind: "http1", forProxy: true };
const HTTP2: Detected = { kind: "http2" };
export const OPAQUE_PROTOCOL: Detected = { kind: "opaque" };
const NEED_MORE: Detection = { kind: "needMore" };

const HANDSHAKE_RECORD = 22;
const SPACE = 32;
const CR = 13;
const LF = 10;
const SLASH = 47;
const ASTERISK = 42;

/** As much of HTTP/2's preface as no HTTP/1.1 request can begin with (RFC 9113 section 3.4). */
const HTTP2_START = Buffer.from("PRI * HTTP/2.0\r\n", "latin1");
const VERSION_START = Buffer.from("HTTP/", "latin1");
/** With one of these and a path nobody means anything else, so that what is wrong after it is answered, not passed. */
const COMMON_METHODS: ReadonlySet<string> = new Set("GET HEAD POST PUT DELETE OPTIONS PATCH TRACE".split(" "));
const LONGEST_COMMON_METHOD = 7;

/**
 * What `b[0, length)`, all that a client has sent so far, is the beginning of. HTTP/1 is a request line with any valid
 * method and a version (RFC 9112 section 3), however odd, or a common method with a path; what looks like it but has no
 * version, as other line protocols do, is opaque. TLS is a whole ClientHello. Looks at no more than MAX_DETECT_BYTES
 * and then decides.
 */
export function detectProtocol(b: Buffer, length: number): Detection {
  if (length === 0) return NEED_MORE;
  if (b[0] === HANDSHAKE_RECORD) return detectTls(b, length);
  const http2 = isHttp2Start(b, length);
  if (http2 !== false) return http2 === true ? HTTP2 : NEED_MORE;
  return detectHttp1(b, Math.min(length, MAX_DETECT_BYTES));
}

/** Whether HTTP/2's preface begins `b[0, length)`; undefined while that cannot be told. */
export function isHttp2Start(b: Buffer, length: number): boolean | undefined {
  const count = Math.min(length, HTTP2_START.length);
  for (let i = 0; i < count; i++) if (b[i] !== HTTP2_START[i]) return false;
  return count === HTTP2_START.length ? true : undefined;
}

function detectTls(b: Buffer, length: number): Detection {
  const hello = parseClientHello(b, Math.min(length, MAX_DETECT_BYTES));
  switch (hello.kind) {
    case "hello":
      return { kind: "tls", serverName: hello.serverName, alpn: hello.alpn };
    case "needMore":
      return length < MAX_DETECT_BYTES ? NEED_MORE : OPAQUE_PROTOCOL;
    case "notTls":
    case "malformed":
      return OPAQUE_PROTOCOL;
    default:
      return hello satisfies never;
  }
}

function detectHttp1(b: Buffer, end: number): Detection {
  const start = afterEmptyLine(b, end);
  let i = start;
  while (i < end && ((CLASS[b[i] as number] as number) & TOKEN) !== 0) i++;
  if (i === end) return undecided(end);
  if (b[i] !== SPACE || i === start) return OPAQUE_PROTOCOL;
  if (b[i + 1] === SLASH && i + 1 < end && isCommonMethod(b, start, i)) return HTTP1;
  const target = ++i;
  while (i < end && ((CLASS[b[i] as number] as number) & TARGET) !== 0) i++;
  if (i === end) return undecided(end);
  if (b[i] !== SPACE || i === target) return OPAQUE_PROTOCOL;
  i++;
  for (const byte of VERSION_START) {
    if (i === end) return undecided(end);
    if (b[i++] !== byte) return OPAQUE_PROTOCOL;
  }
  return b[target] === SLASH || b[target] === ASTERISK ? HTTP1 : HTTP1_FOR_PROXY;
}

/** A server ignores an empty line before a request (RFC 9112 section 2.2). */
function afterEmptyLine(b: Buffer, end: number): number {
  if (b[0] === CR && (end === 1 || b[1] === LF)) return Math.min(2, end);
  return 0;
}

function isCommonMethod(b: Buffer, start: number, end: number): boolean {
  return end - start <= LONGEST_COMMON_METHOD && COMMON_METHODS.has(b.toString("latin1", start, end));
}

function undecided(length: number): Detection {
  return length < MAX_DETECT_BYTES ? NEED_MORE : OPAQUE_PROTOCOL;
}
