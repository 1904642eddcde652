// What clients may send to confuse a proxy and the server behind it, and what this proxy makes of it. Octets are
// written as latin1. docs/http1-verdicts.md is rendered from this table.

/**
 * 400, 431: answered so, the connection ends, and nothing that follows is read. "waits": no request yet; 408 once the
 * time for it is over. "tunnel": the bytes behind the head are passed on unread. Else what the server behind sees, in
 * order: method, target and decoded body of each request.
 */
export type RequestVerdict = 400 | 431 | "waits" | "tunnel" | readonly string[];

export interface RequestCase {
  readonly group: string;
  readonly name: string;
  readonly bytes: string;
  readonly verdict: RequestVerdict;
  readonly why?: string;
  /** The start of another protocol: listeners that detect those serve it as that. */
  readonly foreign?: boolean;
  /** Why another parser may refuse what we pass on; the page names it. */
  readonly stricter?: Partial<Record<"llhttp" | "haproxy" | "nginx", string>>;
}

const CLOSED_LIST = "It knows a closed list of methods.";

const HOST = "Host: web.shop";

export function lines(...all: string[]): string {
  return `${all.join("\r\n")}\r\n\r\n`;
}

/** A POST with `fields` after Host, and what follows its head. */
function post(fields: string | readonly string[], body = ""): string {
  return lines("POST / HTTP/1.1", HOST, ...(typeof fields === "string" ? [fields] : fields)) + body;
}

function get(...fields: string[]): string {
  return lines("GET / HTTP/1.1", HOST, ...fields);
}

function chunked(body: string): string {
  return post("Transfer-Encoding: chunked", body);
}

const HELLO = "5\r\nhello\r\n0\r\n\r\n";

function group(
  name: string,
  verdict: RequestVerdict,
  cases: Readonly<Record<string, string>>,
  more: Pick<RequestCase, "why" | "stricter" | "foreign"> = {},
): RequestCase[] {
  return Object.entries(cases).map(([what, bytes]) => ({ group: name, name: what, bytes, verdict, ...more }));
}

/** One octet put at places where a parser may take it for a blank, a line's end or nothing. */
function everywhere(octet: string, what: string): Record<string, string> {
  return {
    [`${what} before the method`]: `${octet}${get("X: y")}`,
    [`${what} in the method`]: `G${octet}${get("X: y").slice(1)}`,
    [`${what} after the method`]: get("X: y").replace("GET ", `GET ${octet}`),
    [`${what} in the target`]: get("X: y").replace("/ ", `/a${octet}b `),
    [`${what} after the target`]: get("X: y").replace("/ ", `/ ${octet}`),
    [`${what} in the version`]: get("X: y").replace("HTTP/1.1", `HTTP/${octet}1.1`),
    [`${what} after the version`]: get("X: y").replace("HTTP/1.1", `HTTP/1.1${octet}`),
    [`${what} before a name`]: get(`${octet}X: y`),
    [`${what} in a name`]: get(`X${octet}Y: y`),
    [`${what} before a colon`]: get(`X${octet}: y`),
    [`${what} in a value`]: get(`X: y${octet}z`),
    [`${what} at the end of a value`]: get(`X: y${octet}`),
    [`${what} in Content-Length`]: post(`Content-Length: ${octet}5`, "hello"),
    [`${what} after Content-Length`]: post(`Content-Length: 5${octet}`, "hello"),
    [`${what} in Transfer-Encoding`]: post(`Transfer-Encoding: ${octet}chunked`, HELLO),
    [`${what} after chunked`]: post(`Transfer-Encoding: chunked${octet}`, HELLO),
    [`${what} before the empty line`]: `${get("X: y").slice(0, -2)}${octet}\r\n`,
  };
}

const framing: RequestCase[] = [
  ...group(
    "Content-Length and Transfer-Encoding together",
    400,
    {
      "CL.TE": post(["Content-Length: 6", "Transfer-Encoding: chunked"], "0\r\n\r\nG"),
      "TE.CL": post(
        ["Transfer-Encoding: chunked", "Content-Length: 4"],
        "5c\r\nGPOST / HTTP/1.1\r\nContent-Length: 15\r\n\r\nx=1\r\n0\r\n\r\n",
      ),
      "CL.0 with TE": post(["Content-Length: 0", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
      "TE that Connection nominates": post(
        ["Content-Length: 6", "Connection: Transfer-Encoding", "Transfer-Encoding: chunked"],
        "0\r\n\r\nG",
      ),
      "CL that Connection nominates": post(
        ["Content-Length: 6", "Connection: Content-Length", "Transfer-Encoding: chunked"],
        "0\r\n\r\nG",
      ),
    },
    {
      why: "RFC 9112 section 6.1 lets a server refuse it; whoever prefers the other field would read another request.",
    },
  ),
  ...group(
    "Transfer-Encoding",
    400,
    {
      "TE.TE, the second unknown": post(["Transfer-Encoding: chunked", "Transfer-Encoding: cow"], HELLO),
      "TE.TE, the first unknown": post(["Transfer-Encoding: cow", "Transfer-Encoding: chunked"], HELLO),
      "TE.TE, chunked twice": post(["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], HELLO),
      "chunked, chunked": post("Transfer-Encoding: chunked, chunked", HELLO),
      "gzip, chunked": post("Transfer-Encoding: gzip, chunked", HELLO),
      "chunked, identity": post("Transfer-Encoding: chunked, identity", HELLO),
      identity: post("Transfer-Encoding: identity", HELLO),
      xchunked: post("Transfer-Encoding: xchunked", HELLO),
      "chunked in quotes": post('Transfer-Encoding: "chunked"', HELLO),
      "chunked;q=1": post("Transfer-Encoding: chunked;q=1", HELLO),
      ", chunked": post("Transfer-Encoding: , chunked", HELLO),
      "chunked,": post("Transfer-Encoding: chunked,", HELLO),
      empty: post("Transfer-Encoding:", HELLO),
      "a tab behind": post("Transfer-Encoding: chunked \t", HELLO),
      "a tab before": post("Transfer-Encoding:\tchunked", HELLO),
      "folded onto the next line": post(["Transfer-Encoding:", " chunked"], HELLO),
      "in HTTP/1.0": lines("POST / HTTP/1.0", HOST, "Transfer-Encoding: chunked") + HELLO,
      "with the long s of Unicode": post("Tran\u00c5\u00bffer-Encoding: chunked", HELLO),
    },
    { why: "Only `chunked` alone can be framed by everyone." },
  ),
  ...group("Transfer-Encoding", ["POST / hello"], {
    chunked: post("Transfer-Encoding: chunked", HELLO),
    "chunked in capitals": post("TRANSFER-ENCODING: CHUNKED", HELLO),
    "blanks around chunked": post("Transfer-Encoding:  chunked  ", HELLO),
    "a name that only looks like it": post(["Transfer_Encoding: chunked", "Content-Length: 5"], "hello"),
    "a name that is longer": post(["X-Transfer-Encoding: chunked", "Content-Length: 5"], "hello"),
  }),
  ...group(
    "Content-Length",
    400,
    {
      "two that differ": post(["Content-Length: 5", "Content-Length: 6"], "hello"),
      "two that are equal": post(["Content-Length: 5", "Content-Length: 5"], "hello"),
      "a list": post("Content-Length: 5, 5", "hello"),
      "a list of two": post("Content-Length: 5, 6", "hello"),
      "a plus sign": post("Content-Length: +5", "hello"),
      "a minus sign": post("Content-Length: -5", "hello"),
      "minus nought": post("Content-Length: -0"),
      hexadecimal: post("Content-Length: 0x5", "hello"),
      "letters of hexadecimal": post("Content-Length: a", "hellohello"),
      "an exponent": post("Content-Length: 5e0", "hello"),
      "a point": post("Content-Length: 5.0", "hello"),
      "an underscore": post("Content-Length: 1_0", "hellohello"),
      empty: post("Content-Length:", "hello"),
      "a tab behind": post("Content-Length: 5\t", "hello"),
      "a tab before": post("Content-Length: \t5", "hello"),
      "only a comma": post("Content-Length: ,5", "hello"),
      "in quotes": post('Content-Length: "5"', "hello"),
      "a blank inside": post("Content-Length: 1 0", "hellohello"),
      "2^64 + 5": post("Content-Length: 18446744073709551621", "hello"),
      "2^63": post("Content-Length: 9223372036854775808", "hello"),
      "20 digits that begin with noughts": post("Content-Length: 00000000000000000005", "hello"),
      "fullwidth digits": post("Content-Length: \u00ef\u00bc\u0095", "hello"),
      "folded onto the next line": post(["Content-Length:", " 5"], "hello"),
    },
    { why: "RFC 9112 section 6.3: digits, once." },
  ),
  ...group("Content-Length", ["POST / hello"], {
    digits: post("Content-Length: 5", "hello"),
    "a nought before": post("Content-Length: 05", "hello"),
    "blanks around": post("Content-Length:  5  ", "hello"),
    "lower case": post("content-length:5", "hello"),
  }),
  ...group("Content-Length", ["POST / "], { none: post([]), nought: post("Content-Length: 0") }),
  ...group("Content-Length", ["GET / hello"], { "on GET": `${get("Content-Length: 5")}hello` }),
  ...group("Content-Length", "waits", { "more than comes": post("Content-Length: 1000000", "hello") }),
];

const chunks: RequestCase[] = [
  ...group("chunk size", ["POST / hello"], {
    "one chunk": chunked(HELLO),
    "noughts before": chunked("0005\r\nhello\r\n000\r\n\r\n"),
    "capital and small letters": chunked("5\r\nhello\r\n0\r\n\r\n"),
    "five chunks": chunked("1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n"),
  }),
  ...group("chunk size", ["POST / hellohello"], { "a letter": chunked("A\r\nhellohello\r\n0\r\n\r\n") }),
  ...group("chunk size", ["POST / "], { "nought at once": chunked("0\r\n\r\n") }),
  ...group(
    "chunk size",
    400,
    {
      none: chunked("\r\nhello\r\n0\r\n\r\n"),
      "a plus sign": chunked("+5\r\nhello\r\n0\r\n\r\n"),
      "a minus sign": chunked("-5\r\nhello\r\n0\r\n\r\n"),
      "0x": chunked("0x5\r\nhello\r\n0\r\n\r\n"),
      "a letter over f": chunked("g\r\nhello\r\n0\r\n\r\n"),
      "a blank before": chunked(" 5\r\nhello\r\n0\r\n\r\n"),
      "a blank after": chunked("5 \r\nhello\r\n0\r\n\r\n"),
      "a tab after": chunked("5\t\r\nhello\r\n0\r\n\r\n"),
      "an underscore": chunked("0_5\r\nhello\r\n0\r\n\r\n"),
      "a point": chunked("5.\r\nhello\r\n0\r\n\r\n"),
      "2^64 + 5": chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"),
      "2^63": chunked("8000000000000000\r\nhello\r\n0\r\n\r\n"),
      "2^52 noughts short": chunked("10000000000000\r\nhello\r\n0\r\n\r\n"),
      "many noughts before": chunked(`${"0".repeat(40)}5\r\nhello\r\n0\r\n\r\n`),
      "a bare line feed behind": chunked("5\nhello\r\n0\r\n\r\n"),
      "a bare carriage return behind": chunked("5\rhello\r\n0\r\n\r\n"),
      "two carriage returns behind": chunked("5\r\r\nhello\r\n0\r\n\r\n"),
      "a NUL behind": chunked("5\0\r\nhello\r\n0\r\n\r\n"),
    },
    { why: "Hexadecimal digits and CR LF, nothing else (RFC 9112 section 7.1)." },
  ),
  ...group("chunk data", 400, {
    "longer than said": chunked("5\r\nhelloo\r\n0\r\n\r\n"),
    "shorter than said": chunked("5\r\nhell\r\n0\r\n\r\n"),
    "without its line's end": chunked("5\r\nhello0\r\n\r\n"),
    "a bare line feed behind": chunked("5\r\nhello\n0\r\n\r\n"),
    "a bare carriage return behind": chunked("5\r\nhello\r0\r\n\r\n"),
    "the last chunk ended by a bare line feed": chunked("5\r\nhello\r\n0\n\r\n"),
    "the body ended by a bare line feed": chunked("5\r\nhello\r\n0\r\n\n"),
    "the body ended by a bare carriage return": chunked("5\r\nhello\r\n0\r\n\rG"),
  }),
  ...group("chunk data", "waits", {
    "without the last chunk": chunked("5\r\nhello\r\n"),
    "without the last line": chunked("5\r\nhello\r\n0\r\n"),
  }),
  ...group("chunk extensions", ["POST / hello"], {
    "a name": chunked("5;a\r\nhello\r\n0\r\n\r\n"),
    "a name and value": chunked("5;a=b\r\nhello\r\n0;c=d\r\n\r\n"),
    "a quoted value": chunked('5;a="b c;d=\\"";e\r\nhello\r\n0\r\n\r\n'),
    "4,000 octets": chunked(`5;a=${"b".repeat(4_000)}\r\nhello\r\n0\r\n\r\n`),
  }),
  ...group("chunk extensions", 400, {
    "a bare line feed": chunked("5;a\nhello\r\n0\r\n\r\n"),
    "a bare line feed, TERM.EXT": chunked("5;\n\r\nhello\r\n0\r\n\r\n"),
    "a bare carriage return": chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "a line feed in quotes": chunked('5;a="\n"\r\nhello\r\n0\r\n\r\n'),
    "CR LF in quotes": chunked('5;a="\r\n"\r\nhello\r\n0\r\n\r\n'),
    "a NUL": chunked("5;a\0\r\nhello\r\n0\r\n\r\n"),
    "quotes that stay open": chunked('5;a="b\r\nhello\r\n0\r\n\r\n'),
    "an escaped quote, then none": chunked('5;a="b\\"\r\nhello\r\n0\r\n\r\n'),
    "quotes in the middle": chunked('5;a=b"c"\r\nhello\r\n0\r\n\r\n'),
    "no name": chunked("5;\r\nhello\r\n0\r\n\r\n"),
    "no name before the value": chunked("5;=b\r\nhello\r\n0\r\n\r\n"),
    "no value": chunked("5;a=\r\nhello\r\n0\r\n\r\n"),
    "a blank": chunked("5; a\r\nhello\r\n0\r\n\r\n"),
    "a blank before the semicolon": chunked("5 ;a\r\nhello\r\n0\r\n\r\n"),
    "over 16 KiB": chunked(`5;a=${"b".repeat(17_000)}\r\nhello\r\n0\r\n\r\n`),
    "over 16 KiB in many chunks": chunked(`${`1;${"b".repeat(1_000)}\r\nh\r\n`.repeat(17)}0\r\n\r\n`),
  }),
  ...group("trailers", ["POST / hello"], {
    "one field": chunked("5\r\nhello\r\n0\r\nETag: x\r\n\r\n"),
    "two fields": chunked("5\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\n"),
    "a name that only begins like a forbidden one": chunked("5\r\nhello\r\n0\r\nHosts: a\r\nTea: b\r\n\r\n"),
  }),
  ...group(
    "trailers",
    400,
    {
      "Content-Length": chunked("5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"),
      "Transfer-Encoding": chunked("5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
      Host: chunked("5\r\nhello\r\n0\r\nHost: other.shop\r\n\r\n"),
      Connection: chunked("5\r\nhello\r\n0\r\nconnection: close\r\n\r\n"),
      "a field of the mesh": chunked("5\r\nhello\r\n0\r\nX-Causeway-Client-Id: spiffe://forged\r\n\r\n"),
      "a field of the mesh, with underscores": chunked("5\r\nhello\r\n0\r\nx_causeway_client_id: forged\r\n\r\n"),
    },
    { why: "Some servers merge trailers into the head (RFC 9110 section 6.5.1 forbids these)." },
  ),
  ...group("trailers", 400, {
    folded: chunked("5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n"),
    "without a colon": chunked("5\r\nhello\r\n0\r\nAb\r\n\r\n"),
    "a blank before the colon": chunked("5\r\nhello\r\n0\r\nA : b\r\n\r\n"),
    "an empty name": chunked("5\r\nhello\r\n0\r\n: b\r\n\r\n"),
    "a bare line feed": chunked("5\r\nhello\r\n0\r\nA: b\n\r\n"),
    "a NUL": chunked("5\r\nhello\r\n0\r\nA: \0\r\n\r\n"),
    "a request line": chunked("5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n"),
    "over 16 KiB": chunked(`5\r\nhello\r\n0\r\nA: ${"b".repeat(17_000)}\r\n\r\n`),
  }),
];

const octets: RequestCase[] = [
  ...group("bare line feed", 400, everywhere("\n", "a line feed")),
  ...group("bare line feed", 400, {
    "for all line ends": "GET / HTTP/1.1\nHost: web.shop\n\n",
    "for the empty line": "GET / HTTP/1.1\r\nHost: web.shop\r\n\n",
    "for the first line's end": "GET / HTTP/1.1\nHost: web.shop\r\n\r\n",
  }),
  ...group("bare carriage return", 400, everywhere("\r", "a carriage return")),
  ...group("bare carriage return", 400, {
    "for all line ends": "GET / HTTP/1.1\rHost: web.shop\r\r",
    "that hides a field": get("X: y\rTransfer-Encoding: chunked"),
  }),
  ...group("NUL", 400, everywhere("\0", "a NUL")),
  ...group("vertical tab", 400, everywhere("\x0b", "a vertical tab")),
  ...group("other control octets", 400, {
    "DEL in a value": get("X: a\x7fb"),
    "escape in a value": get("X: \x1b[2J"),
    "DEL in the target": get().replace("/ ", "/\x7f "),
    "backspace in a name": get("X\b: y"),
    "form feed before chunked": post("Transfer-Encoding: \fchunked", HELLO),
  }),
  ...group("obs-text (octets from 128)", ["GET / "], {
    "in a value": get("X: \u00e4\u00ff"),
    "no-break space in a value": get("X: a\u00a0b"),
  }),
  ...group("obs-text (octets from 128)", 400, {
    "in a name": get("X\u00e4: y"),
    "in the method": "G\u00cbT / HTTP/1.1\r\nHost: web.shop\r\n\r\n",
    "in the target": get().replace("/ ", "/\u00e4 "),
    "in Host": lines("GET / HTTP/1.1", "Host: w\u00e4b.shop"),
    "next-line control before chunked": post("Transfer-Encoding: \u0085chunked", HELLO),
    "no-break space before chunked": post("Transfer-Encoding: \u00a0chunked", HELLO),
  }),
];

const heads: RequestCase[] = [
  ...group("field lines", 400, {
    "folded with a blank": get("X: y", " z"),
    "folded with a tab": get("X: y", "\tz"),
    "a fold as the first line": lines("GET / HTTP/1.1", " X: y", HOST),
    "a blank before the colon": get("X : y"),
    "a blank before the colon of Content-Length": post("Content-Length : 5", "hello"),
    "a blank before the colon of Transfer-Encoding": post("Transfer-Encoding : chunked", HELLO),
    "an empty name": get(": y"),
    "no colon": get("X"),
    "a bracket in the name": get("X(a): y"),
    "a blank in the name": get("X Y: z"),
    "a quote in the name": get('"X": y'),
  }),
  ...group("field lines", ["GET / "], {
    "an empty value": get("X:"),
    "blanks only": get("X: \t "),
    "no blank after the colon": get("X:y"),
    "colons in the value": get("X: a:b: c"),
    "every token octet in the name": get("!#$%&'*+-.^_`|~09azAZ: y"),
    "the same name often": get("X: 1", "X: 2", "x: 3"),
  }),
  ...group("limits", ["GET / "], {
    "200 fields": get(...Array.from({ length: 199 }, (_, i) => `X${i}: y`)),
    "a head of 60 KiB": get(`X: ${"y".repeat(61_000)}`),
  }),
  ...group(
    "limits",
    [`${"A".repeat(32)} / `],
    { "a method of 32 octets": lines(`${"A".repeat(32)} / HTTP/1.1`, HOST) },
    { stricter: { llhttp: CLOSED_LIST } },
  ),
  ...group("limits", 431, {
    "201 fields": get(...Array.from({ length: 200 }, (_, i) => `X${i}: y`)),
    "a field over 64 KiB": get(`X: ${"y".repeat(66_000)}`),
    "a target over 64 KiB": lines(`GET /${"y".repeat(66_000)} HTTP/1.1`, HOST),
    "a head over 64 KiB in many fields": get(...Array.from({ length: 150 }, (_, i) => `X${i}: ${"y".repeat(450)}`)),
    "65 names in Connection": get(`Connection: ${Array.from({ length: 65 }, (_, i) => `a${i}`).join(",")}`),
  }),
  ...group("limits", 400, {
    "a method of 33 octets": lines(`${"A".repeat(33)} / HTTP/1.1`, HOST),
    "a method without end": "A".repeat(200),
  }),
  ...group("start line", 400, {
    "HTTP/0.9": "GET /\r\n",
    "HTTP/0.9 with a version": lines("GET / HTTP/0.9"),
    "HTTP/1.2": lines("GET / HTTP/1.2", HOST),
    "HTTP/1.10": lines("GET / HTTP/1.10", HOST),
    "HTTP/1.": lines("GET / HTTP/1.", HOST),
    "HTTP/01.1": lines("GET / HTTP/01.1", HOST),
    "HTTP/2.0": lines("GET / HTTP/2.0", HOST),
    "HTTP/3": lines("GET / HTTP/3", HOST),
    "http/1.1": lines("GET / http/1.1", HOST),
    HTTPS: lines("GET / HTTPS/1.1", HOST),
    "two blanks after the method": lines("GET  / HTTP/1.1", HOST),
    "two blanks after the target": lines("GET /  HTTP/1.1", HOST),
    "a tab after the method": lines("GET\t/ HTTP/1.1", HOST),
    "a blank at the end": lines("GET / HTTP/1.1 ", HOST),
    "a blank before the method": lines(" GET / HTTP/1.1", HOST),
    "a blank in the target": lines("GET /a b HTTP/1.1", HOST),
    "no target": lines("GET HTTP/1.1", HOST),
    "an empty target": lines("GET  HTTP/1.1", HOST),
    "a fragment": lines("GET /#x HTTP/1.1", HOST),
    "a method that is no token": lines("G(T / HTTP/1.1", HOST),
    "no method": lines("/ HTTP/1.1", HOST),
    "a line of fields first": lines("Host: web.shop", "GET / HTTP/1.1"),
    "a status line": lines("HTTP/1.1 200 OK", HOST),
    "two empty lines first": `\r\n\r\n${get()}`,
  }),
  ...group(
    "start line",
    400,
    {
      "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "a TLS ClientHello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    },
    { foreign: true, why: "HTTP/2 and TLS are told from HTTP/1 before, where a listener serves them." },
  ),
  ...group("start line", ["GET / "], { "an empty line first": `\r\n${get()}` }),
  ...group(
    "start line",
    ["get / "],
    { "a method in small letters": lines("get / HTTP/1.1", HOST) },
    { stricter: { llhttp: CLOSED_LIST }, why: "Methods are case-sensitive: another one than GET." },
  ),
  ...group("start line", ["GET / "], { "HTTP/1.0": lines("GET / HTTP/1.0", HOST, "Connection: keep-alive") }),
  ...group(
    "start line",
    ["BREW /pot "],
    { "a method of their own": lines("BREW /pot HTTP/1.1", HOST) },
    { stricter: { llhttp: CLOSED_LIST } },
  ),
  ...group("start line", "waits", {
    "half a line": "GET / HT",
    "a head without its end": "GET / HTTP/1.1\r\nHost: web.shop\r\n",
    "only an empty line": "\r\n",
  }),
];

const routing: RequestCase[] = [
  ...group("Host", 400, {
    missing: lines("GET / HTTP/1.1", "X: y"),
    empty: lines("GET / HTTP/1.1", "Host:"),
    twice: lines("GET / HTTP/1.1", HOST, HOST),
    "twice, the second other": lines("GET / HTTP/1.1", HOST, "Host: other.shop"),
    "a list": lines("GET / HTTP/1.1", "Host: web.shop, other.shop"),
    "two with a blank": lines("GET / HTTP/1.1", "Host: web.shop other.shop"),
    "with userinfo": lines("GET / HTTP/1.1", "Host: other@web.shop"),
    "with a path": lines("GET / HTTP/1.1", "Host: web.shop/x"),
    "with a backslash": lines("GET / HTTP/1.1", "Host: web.shop\\x"),
    "with a scheme": lines("GET / HTTP/1.1", "Host: http://web.shop"),
    "with a port of letters": lines("GET / HTTP/1.1", "Host: web.shop:http"),
    "with port 0": lines("GET / HTTP/1.1", "Host: web.shop:0"),
    "with port 65536": lines("GET / HTTP/1.1", "Host: web.shop:65536"),
    "with two ports": lines("GET / HTTP/1.1", "Host: web.shop:80:81"),
    "with an empty port": lines("GET / HTTP/1.1", "Host: web.shop:"),
    "with a signed port": lines("GET / HTTP/1.1", "Host: web.shop:+80"),
    "with an open bracket": lines("GET / HTTP/1.1", "Host: [::1"),
    "with two dots": lines("GET / HTTP/1.1", "Host: web..shop"),
    "with a comma at its end": lines("GET / HTTP/1.1", "Host: web.shop,"),
    "missing in HTTP/1.0": lines("GET / HTTP/1.0", "X: y"),
  }),
  ...group("Host", ["GET / "], {
    "with a port": lines("GET / HTTP/1.1", "Host: web.shop:80"),
    "in capitals": lines("GET / HTTP/1.1", "HOST: WEB.SHOP"),
    "with a dot at its end": lines("GET / HTTP/1.1", "Host: web.shop."),
  }),
  ...group("target", ["GET /x?y=1 "], {
    "absolute-form": lines("GET http://web.shop/x?y=1 HTTP/1.1", HOST),
    "absolute-form in capitals": lines("GET HTTP://WEB.SHOP:80/x?y=1 HTTP/1.1", HOST),
    "absolute-form in HTTP/1.0 without Host": lines(
      "GET http://web.shop/x?y=1 HTTP/1.0",
      "Connection: keep-alive",
      "X: y",
    ),
  }),
  ...group(
    "target",
    ["GET /x?y=1 "],
    {
      "absolute-form, another Host: the target counts, and the server gets its host": lines(
        "GET http://web.shop/x?y=1 HTTP/1.1",
        "Host: other.shop",
      ),
    },
    { stricter: { haproxy: "It answers 400; RFC 9112 section 3.2.2 has a proxy replace the field, as we do." } },
  ),
  ...group("target", ["GET / "], { "absolute-form without a path": lines("GET http://web.shop HTTP/1.1", HOST) }),
  ...group(
    "target",
    ["GET /?a "],
    { "absolute-form with a query only": lines("GET http://web.shop?a HTTP/1.1", HOST) },
    { stricter: { haproxy: "It wants a path; RFC 3986 does not, and the server gets one." } },
  ),
  ...group(
    "target",
    ["OPTIONS * "],
    {
      "asterisk-form of OPTIONS": lines("OPTIONS * HTTP/1.1", HOST),
      "absolute-form of OPTIONS without a path": lines("OPTIONS http://web.shop HTTP/1.1", HOST),
    },
    { stricter: { nginx: "It serves no asterisk (RFC 9112 section 3.2.4 has a proxy send it)." } },
  ),
  ...group("target", ["GET //other.shop/ "], {
    "two slashes: a path, not a host": lines("GET //other.shop/ HTTP/1.1", HOST),
  }),
  ...group(
    "target",
    ["GET /..%2f%00 "],
    { "escapes stay as they are": lines("GET /..%2f%00 HTTP/1.1", HOST) },
    { stricter: { nginx: "It decodes paths, as who serves files must; we pass them on as they are." } },
  ),
  ...group("target", 400, {
    "asterisk-form of GET": lines("GET * HTTP/1.1", HOST),
    "authority-form of GET": lines("GET web.shop:80 HTTP/1.1", HOST),
    "a path without slash": lines("GET x HTTP/1.1", HOST),
    "another scheme": lines("GET ftp://web.shop/ HTTP/1.1", HOST),
    https: lines("GET https://web.shop/ HTTP/1.1", HOST),
    "a scheme with a blank": lines("GET http ://web.shop/ HTTP/1.1", HOST),
    "userinfo in absolute-form": lines("GET http://other.shop@web.shop/ HTTP/1.1", HOST),
    "no authority in absolute-form": lines("GET http:///x HTTP/1.1", HOST),
    "a backslash in the authority": lines("GET http://web.shop\\@other.shop/ HTTP/1.1", HOST),
    "absolute-form with two Hosts": lines("GET http://web.shop/ HTTP/1.1", HOST, HOST),
    "absolute-form with a malformed Host": lines("GET http://web.shop/ HTTP/1.1", "Host: a b"),
    "absolute-form without Host": lines("GET http://web.shop/ HTTP/1.1", "X: y"),
    "CONNECT to a path": lines("CONNECT / HTTP/1.1", HOST),
    "CONNECT without a port": lines("CONNECT web.shop HTTP/1.1", HOST),
    "CONNECT to a URL": lines("CONNECT http://web.shop:80/ HTTP/1.1", HOST),
    "CONNECT with Content-Length": `${lines("CONNECT web.shop:80 HTTP/1.1", HOST, "Content-Length: 5")}hello`,
    "CONNECT with chunks": lines("CONNECT web.shop:80 HTTP/1.1", HOST, "Transfer-Encoding: chunked") + HELLO,
  }),
  ...group("target", "tunnel", { CONNECT: lines("CONNECT web.shop:80 HTTP/1.1", HOST) }),
];

const connection: RequestCase[] = [
  ...group("Connection, Upgrade, Expect", ["GET / "], {
    "Connection nominates Host, which stays": get("Connection: host"),
    "Connection nominates a field, which goes": get("Connection: x-hop", "X-Hop: 1"),
    "Connection of blanks and commas": get("Connection: , ,, \t,"),
    "keep-alive": get("Connection: keep-alive", "Keep-Alive: timeout=5"),
    "Proxy-Connection and TE go": get("Proxy-Connection: keep-alive", "TE: trailers"),
    "h2c: the upgrade goes, the request stays": get(
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    ),
    "h2c among others": get("Connection: Upgrade", "Upgrade: chat/2, h2c"),
    "TLS/1.3: the upgrade goes": get("Connection: Upgrade", "Upgrade: TLS/1.3"),
    "Upgrade that Connection does not name": get("Upgrade: chat/2"),
    "Connection: upgrade without Upgrade": get("Connection: upgrade"),
    "an upgrade that the server refuses": get("Connection: Upgrade", "Upgrade: chat/2"),
    "an unknown expectation": get("Expect: 200-maybe"),
  }),
  ...group(
    "Connection, Upgrade, Expect",
    ["GET / "],
    {
      "an upgrade in HTTP/1.0, which knows none": lines(
        "GET / HTTP/1.0",
        HOST,
        "Connection: keep-alive, Upgrade",
        "Upgrade: chat/2",
      ),
    },
    { stricter: { haproxy: "It may end the connection after the answer." } },
  ),
  ...group("Connection, Upgrade, Expect", ["POST / hello"], {
    "Connection nominates Content-Length, which stays": post(
      ["Connection: content-length", "Content-Length: 5"],
      "hello",
    ),
    "Expect: 100-continue with the body at once": post(["Expect: 100-continue", "Content-Length: 5"], "hello"),
    "an upgrade with a body that the server refuses": post(
      ["Connection: Upgrade", "Upgrade: chat/2", "Content-Length: 5"],
      "hello",
    ),
  }),
  ...group("pipelining", ["GET /1 ", "POST /2 hello", "GET /3 "], {
    "three requests": `${lines("GET /1 HTTP/1.1", HOST)}${lines("POST /2 HTTP/1.1", HOST, "Content-Length: 5")}hello${lines("GET /3 HTTP/1.1", HOST)}`,
    "chunks in the middle": `${lines("GET /1 HTTP/1.1", HOST)}${lines("POST /2 HTTP/1.1", HOST, "Transfer-Encoding: chunked")}${HELLO}${lines("GET /3 HTTP/1.1", HOST)}`,
    "empty lines between": `${lines("GET /1 HTTP/1.1", HOST)}\r\n${lines("POST /2 HTTP/1.1", HOST, "Content-Length: 5")}hello\r\n${lines("GET /3 HTTP/1.1", HOST)}`,
  }),
];

export const REQUESTS: readonly RequestCase[] = [...framing, ...chunks, ...octets, ...heads, ...routing, ...connection];

/** Sent right behind a case: whoever sees it as a request of its own has read the case as we have. */
export const NEXT = lines("GET /next HTTP/1.1", HOST);
