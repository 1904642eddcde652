// What servers may answer, and what this proxy passes on to its client. docs/http1-verdicts.md is rendered from it.
import { lines } from "./http1-requests.ts";

/**
 * 502: turned into that. "cut": the client gets the start, and a reset where it would have to take that for the whole.
 * Else what the client sees, in order: status and decoded body, 1xx answers included.
 */
export type ResponseVerdict = 502 | "cut" | readonly string[];

export interface ResponseCase {
  readonly group: string;
  readonly name: string;
  /** GET where nothing is said. */
  readonly request: string;
  readonly bytes: string;
  /** The server ends the connection behind it. */
  readonly ends: boolean;
  /** Whether the client's connection stays for another request. */
  readonly stays: boolean;
  readonly verdict: ResponseVerdict;
  readonly why?: string;
}

const GET = lines("GET / HTTP/1.1", "Host: web.shop");
const HEAD = lines("HEAD / HTTP/1.1", "Host: web.shop");
const GET_10 = lines("GET / HTTP/1.0", "Host: web.shop", "Connection: keep-alive");
const HELLO = "5\r\nhello\r\n0\r\n\r\n";

type More = Partial<Pick<ResponseCase, "request" | "ends" | "stays" | "why">>;

function group(
  name: string,
  verdict: ResponseVerdict,
  cases: Readonly<Record<string, string>>,
  more: More = {},
): ResponseCase[] {
  return Object.entries(cases).map(([what, bytes]) => ({
    group: name,
    name: what,
    bytes,
    verdict,
    request: GET,
    ends: false,
    stays: verdict !== "cut",
    ...more,
  }));
}

function ok(...fields: string[]): string {
  return lines("HTTP/1.1 200 OK", ...fields);
}

const framing = [
  ...group("framing", ["200 hello"], {
    "Content-Length": `${ok("Content-Length: 5")}hello`,
    chunked: ok("Transfer-Encoding: chunked") + HELLO,
    "chunked with extensions and trailers": `${ok("Transfer-Encoding: chunked")}5;a=b\r\nhello\r\n0\r\nETag: x\r\n\r\n`,
    "no reason": `${lines("HTTP/1.1 200", "Content-Length: 5")}hello`,
    "an empty reason": `${lines("HTTP/1.1 200 ", "Content-Length: 5")}hello`,
  }),
  ...group(
    "framing",
    ["200 hello"],
    {
      "up to the end of the connection": `${ok("X: y")}hello`,
      "HTTP/1.0 up to the end of the connection": `${lines("HTTP/1.0 200 OK")}hello`,
    },
    { ends: true, stays: false },
  ),
  ...group("framing", ["200 hello"], {
    "HTTP/1.0 with a length": `${lines("HTTP/1.0 200 OK", "Content-Length: 5")}hello`,
    "Connection: close with a length": `${ok("Content-Length: 5", "Connection: close")}hello`,
  }),
  ...group(
    "framing",
    ["200 hello"],
    { "more than the length: the rest is nobody's": `${ok("Content-Length: 5")}hello, and more` },
    { why: "The connection to the server is not used again." },
  ),
  ...group("framing", 502, {
    "both Content-Length and Transfer-Encoding": ok("Content-Length: 5", "Transfer-Encoding: chunked") + HELLO,
    "two lengths that differ": `${ok("Content-Length: 5", "Content-Length: 6")}hello`,
    "two lengths that are equal": `${ok("Content-Length: 5", "Content-Length: 5")}hello`,
    "a list of lengths": `${ok("Content-Length: 5, 5")}hello`,
    "a signed length": `${ok("Content-Length: +5")}hello`,
    "a length of 20 digits": `${ok("Content-Length: 18446744073709551621")}hello`,
    "gzip, chunked": ok("Transfer-Encoding: gzip, chunked") + HELLO,
    identity: `${ok("Transfer-Encoding: identity")}hello`,
    "chunked in HTTP/1.0": lines("HTTP/1.0 200 OK", "Transfer-Encoding: chunked") + HELLO,
    "a chunk size that is none": `${ok("Transfer-Encoding: chunked")}xyz\r\n`,
  }),
  ...group(
    "framing",
    502,
    { "chunks for an HTTP/1.0 client": ok("Transfer-Encoding: chunked") + HELLO },
    {
      request: GET_10,
    },
  ),
  ...group(
    "framing",
    ["200 hello"],
    { "a length for an HTTP/1.0 client": `${ok("Content-Length: 5")}hello` },
    {
      request: GET_10,
    },
  ),
  ...group(
    "framing",
    ["200 hello"],
    { "up to the end for an HTTP/1.0 client": `${ok()}hello` },
    { request: GET_10, ends: true, stays: false },
  ),
  ...group(
    "framing",
    "cut",
    {
      "the connection ends before the length is reached": `${ok("Content-Length: 9")}hello`,
      "the connection ends before the last chunk": `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n`,
      "the connection ends before the last line": `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n`,
    },
    { ends: true },
  ),
  ...group(
    "framing",
    502,
    {
      "a malformed chunk behind a good one": `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\nxyz\r\n`,
      "a trailer that frames": `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n`,
    },
    { why: "Cut where the head has gone out by then." },
  ),
  ...group("framing", 502, { "the connection ends in the head": "HTTP/1.1 200 OK\r\nContent-Le" }, { ends: true }),
  ...group("framing", 502, { "the connection ends before an answer": "" }, { ends: true }),
];

const bodiless = [
  ...group("no body", ["204 "], {
    "204": lines("HTTP/1.1 204 No Content"),
    "204 with Content-Length: 0": lines("HTTP/1.1 204 No Content", "Content-Length: 0"),
  }),
  ...group("no body", ["304 "], {
    "304": lines("HTTP/1.1 304 Not Modified"),
    "304 with the length that a 200 would have": lines("HTTP/1.1 304 Not Modified", "Content-Length: 5"),
  }),
  ...group(
    "no body",
    ["204 "],
    { "204 and a body all the same": `${lines("HTTP/1.1 204 No Content")}hello` },
    {
      why: "What comes behind is nobody's, and the connection to the server is not used again.",
    },
  ),
  ...group(
    "no body",
    ["200 "],
    {
      "HEAD with a length": ok("Content-Length: 5"),
      "HEAD with chunked": ok("Transfer-Encoding: chunked"),
      "HEAD without either": ok(),
      "HEAD and a body all the same": `${ok("Content-Length: 5")}hello`,
    },
    { request: HEAD },
  ),
  ...group(
    "no body",
    502,
    {
      "204 with a length": `${lines("HTTP/1.1 204 No Content", "Content-Length: 5")}hello`,
      "204 with chunked": lines("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked") + HELLO,
      "103 with a length": `${lines("HTTP/1.1 103 Early Hints", "Content-Length: 5")}hello${ok("Content-Length: 0")}`,
      "100 with chunked": lines("HTTP/1.1 100 Continue", "Transfer-Encoding: chunked") + ok("Content-Length: 0"),
    },
    { why: "RFC 9110 section 8.6 and RFC 9112 section 6.1 forbid it; a client may believe status or length." },
  ),
];

const informational = [
  ...group("1xx", ["100 ", "200 hello"], {
    "100 that nobody asked for": `${lines("HTTP/1.1 100 Continue")}${ok("Content-Length: 5")}hello`,
  }),
  ...group("1xx", ["103 ", "103 ", "200 hello"], {
    "two hints": `${lines("HTTP/1.1 103 Early Hints", "Link: </a>")}${lines("HTTP/1.1 103 Early Hints", "Link: </b>")}${ok("Content-Length: 5")}hello`,
  }),
  ...group(
    "1xx",
    ["200 hello"],
    {
      "a hint, for an HTTP/1.0 client, who knows none": `${lines("HTTP/1.1 103 Early Hints")}${ok("Content-Length: 5")}hello`,
    },
    { request: GET_10 },
  ),
  ...group("1xx", 502, {
    "101 that nobody asked for": lines("HTTP/1.1 101 Switching Protocols", "Upgrade: x", "Connection: upgrade"),
  }),
];

const heads = [
  ...group("head", 502, {
    "a bare line feed": "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "a bare carriage return in a value": `${ok("X: a\rb", "Content-Length: 5")}hello`,
    "a folded field": `${ok("X: y", " z", "Content-Length: 5")}hello`,
    "a blank before the colon": `${ok("Content-Length : 5")}hello`,
    "an empty name": `${ok(": x", "Content-Length: 5")}hello`,
    "a NUL in a value": `${ok("X: \0", "Content-Length: 5")}hello`,
    "a NUL in the reason": `${lines("HTTP/1.1 200 O\0K", "Content-Length: 5")}hello`,
    "a status of two digits": `${lines("HTTP/1.1 20 OK", "Content-Length: 5")}hello`,
    "a status of four digits": `${lines("HTTP/1.1 2000 OK", "Content-Length: 5")}hello`,
    "status 099": `${lines("HTTP/1.1 099 OK", "Content-Length: 5")}hello`,
    "a status of letters": `${lines("HTTP/1.1 2x0 OK", "Content-Length: 5")}hello`,
    "HTTP/2.0": `${lines("HTTP/2.0 200 OK", "Content-Length: 5")}hello`,
    "http/1.1": `${lines("http/1.1 200 OK", "Content-Length: 5")}hello`,
    ICY: `${lines("ICY 200 OK", "Content-Length: 5")}hello`,
    "an empty line first": `\r\n${ok("Content-Length: 5")}hello`,
    "two blanks before the status": `${lines("HTTP/1.1  200 OK", "Content-Length: 5")}hello`,
    "another protocol": "220 mail.shop ESMTP ready\r\n",
    "210 fields": `${ok(...Array.from({ length: 209 }, (_, i) => `X${i}: y`), "Content-Length: 5")}hello`,
    "a head over 68 KiB": `${ok(`X: ${"y".repeat(70_000)}`, "Content-Length: 5")}hello`,
  }),
  ...group("head", ["200 hello"], {
    "obs-text in a value": `${ok("X: \u00e4", "Content-Length: 5")}hello`,
    "what Connection nominates goes": `${ok("Connection: x-hop", "X-Hop: 1", "Content-Length: 5")}hello`,
    "Keep-Alive and Upgrade go": `${ok("Keep-Alive: timeout=5", "Upgrade: h2c", "Connection: upgrade", "Content-Length: 5")}hello`,
    "what only the mesh may say goes": `${ok("X-Causeway-Error: PROXY_RESET", "Content-Length: 5")}hello`,
  }),
  ...group("head", ["426 "], {
    "426 keeps its Upgrade": lines(
      "HTTP/1.1 426 Upgrade Required",
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Content-Length: 0",
    ),
  }),
  ...group("head", ["599 hello"], {
    "a status of their own": `${lines("HTTP/1.1 599 Odd", "Content-Length: 5")}hello`,
  }),
];

export const RESPONSES: readonly ResponseCase[] = [...framing, ...bodiless, ...informational, ...heads];
