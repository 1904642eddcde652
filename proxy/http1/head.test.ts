import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import fc from "fast-check";
import {
  createHead,
  findHeadEnd,
  GET,
  type Head,
  INCOMPLETE,
  MALFORMED,
  NOMINATED,
  OTHER,
  OURS,
  parseRequestHead,
  parseResponseHead,
  TOO_LARGE,
} from "./head.ts";
import { PartialHead } from "./partial-head.ts";

function request(text: string, head: Head = createHead()): number {
  const bytes = Buffer.from(text, "latin1");
  return parseRequestHead(head, bytes, 0, bytes.length);
}

function response(text: string, head: Head = createHead()): number {
  const bytes = Buffer.from(text, "latin1");
  return parseResponseHead(head, bytes, 0, bytes.length);
}

const lines = (...all: string[]) => `${all.join("\r\n")}\r\n\r\n`;

describe("parseRequestHead()", () => {
  it("finds method, target, framing and Host", () => {
    const head = createHead();
    const text = lines("GET /a?b HTTP/1.1", "Host: web.shop", "Content-Length: 12", "Connection: close");
    assert.equal(request(text, head), text.length);
    assert.deepEqual(
      [head.method, head.contentLength, head.chunked, head.close, head.count],
      [GET, 12, false, true, 3],
    );
    assert.equal(text.slice(head.targetStart, head.targetEnd), "/a?b");
    assert.equal(text.slice(head.hostStart, head.hostEnd), "web.shop");
  });

  const refused: Record<string, string> = {
    "both lengths": lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"),
    "unequal lengths": lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Content-Length: 2"),
    "a list of lengths": lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1, 1"),
    "a signed length": lines("POST / HTTP/1.1", "Host: a", "Content-Length: +1"),
    "an empty length": lines("POST / HTTP/1.1", "Host: a", "Content-Length: "),
    "a coding that is not chunked": lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked"),
    "chunked with a vertical tab": lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: \u000bchunked"),
    "chunked twice": lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked in HTTP/1.0": lines("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked"),
    "a bare line feed": "GET / HTTP/1.1\nHost: a\n\n",
    "a bare line feed between fields": "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "a bare carriage return": "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "a folded field": lines("GET / HTTP/1.1", "Host: a", "X: y", " z"),
    "a blank before the colon": lines("GET / HTTP/1.1", "Host : a"),
    "a NUL": lines("GET / HTTP/1.1", "Host: a", "X: \0"),
    "an empty name": lines("GET / HTTP/1.1", "Host: a", ": x"),
    "no Host": lines("GET / HTTP/1.1", "X: y"),
    "two Hosts": lines("GET / HTTP/1.1", "Host: a", "Host: a"),
    "another version": lines("GET / HTTP/2.0", "Host: a"),
    "a lower-case version": lines("GET / http/1.1", "Host: a"),
    "two blanks": lines("GET  / HTTP/1.1", "Host: a"),
    "a fragment": lines("GET /#x HTTP/1.1", "Host: a"),
    "HTTP/0.9": "GET /\r\n\r\n",
  };
  for (const [what, text] of Object.entries(refused)) {
    it(`refuses ${what}`, () => assert.equal(request(text), MALFORMED));
  }

  it("calls 201 fields and a head over 64 KiB too large", () => {
    const many = Array.from({ length: 200 }, (_, i) => `x${i}: y`);
    assert.equal(request(lines("GET / HTTP/1.1", "Host: a", ...many)), TOO_LARGE);
    assert.equal(request(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(65_536)}`), TOO_LARGE);
    assert.ok(request(lines("GET / HTTP/1.1", "Host: a", ...many.slice(1))) > 0);
  });

  it("marks what Connection names, but neither Host nor lengths", () => {
    const head = createHead();
    request(
      lines("GET / HTTP/1.1", "Host: a", "X-Hop: 1", "Content-Length: 0", "Connection: x-hop, host, content-length"),
      head,
    );
    assert.deepEqual(
      [...head.kinds.subarray(0, 4)].map((kind) => kind === NOMINATED),
      [false, true, false, false],
    );
  });

  it("knows the mesh's own fields, with underscores too", () => {
    const head = createHead();
    request(lines("GET / HTTP/1.1", "Host: a", "X_Causeway-Client_ID: x", "x-causewa: y"), head);
    assert.deepEqual([...head.kinds.subarray(1, 3)], [OURS, OTHER]);
  });

  it("gives the same verdict at every split", () => {
    const texts = [
      ...Object.values(refused),
      lines("\r\nGET / HTTP/1.1".trimStart(), "Host: a", "X: y"),
      "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for (const text of texts) {
      const whole = request(text);
      const bytes = Buffer.from(text, "latin1");
      for (let cut = 1; cut < bytes.length; cut++) {
        assert.equal(inPieces([bytes.subarray(0, cut), bytes.subarray(cut)]), whole, JSON.stringify([text, cut]));
      }
      assert.equal(inPieces([...bytes].map((byte) => Buffer.of(byte))), whole, JSON.stringify(text));
    }
  });

  it("lets nothing pass that Node's own parser refuses or reads otherwise", async function () {
    this.timeout(60_000);
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { minLength: 1, maxLength: 7 }),
        fc.constantFrom("GET", "POST", "PUT", "HEAD"),
        fc.constantFrom(...TARGETS),
        async (fields, method, target) => {
          const text = `${method} ${target}${fields.join("")}\r\n`;
          const head = createHead();
          const end = request(text, head);
          if (end <= 0) return;
          const node = await readByNode(text.slice(0, end));
          assert.ok(node !== undefined, `Node refuses ${JSON.stringify(text)}`);
          assert.equal(node.url, text.slice(head.targetStart, head.targetEnd));
          assert.equal(node.method, method);
          assert.equal(node.rawHeaders.length, head.count * 2);
          for (let f = 0; f < head.count; f++) {
            assert.equal(node.rawHeaders[f * 2], text.slice(head.at[f * 4], head.at[f * 4 + 1]));
            assert.equal(node.rawHeaders[f * 2 + 1], text.slice(head.at[f * 4 + 2], head.at[f * 4 + 3]));
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});

const TARGETS = [
  "/ HTTP/1.1\r\n",
  "/a?b=%20 HTTP/1.1\r\n",
  "* HTTP/1.1\r\n",
  "/ HTTP/1.0\r\n",
  "/ HTTP/1.1\n",
  "http://a/b HTTP/1.1\r\n",
  "/\u00e9 HTTP/1.1\r\n",
  "/ HTTP/1.2\r\n",
  "/ HTTP/1.1 \r\n",
];
const FIELDS = [
  "Host: a\r\n",
  "Host: a\r\n",
  "host:b\r\n",
  "Content-Length: 0\r\n",
  "Content-Length: 5\r\n",
  "Content-Length: 05\r\n",
  "content-length:\t5 \r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: Chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "X: y\r\n",
  "X:y z\t\r\n",
  "X:\r\n",
  "X: \u00ff\r\n",
  "X: a\u007fb\r\n",
  "X\r\n",
  " fold\r\n",
  "X: y\n",
  "X: y\r",
  "Connection: close\r\n",
  "Connection: keep-alive, x\r\n",
  "\r\n",
  "X : y\r\n",
  "(: y\r\n",
];
const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...FIELDS) },
  { weight: 1, arbitrary: fc.string({ maxLength: 6 }) },
);

/** As a connection does it: parse the first read, then gather until the end is there. */
function inPieces(pieces: readonly Buffer[]): number {
  const head = createHead();
  const partial = new PartialHead();
  let verdict = INCOMPLETE;
  for (const bytes of pieces) {
    if (partial.empty) {
      verdict = parseRequestHead(head, bytes, 0, bytes.length);
      if (verdict === INCOMPLETE) partial.append(bytes, 0, bytes.length);
    } else {
      verdict = partial.append(bytes, 0, bytes.length);
      if (verdict === 0) {
        const all = partial.take();
        verdict = parseRequestHead(head, all, 0, all.length);
        if (verdict === INCOMPLETE) partial.append(all, 0, all.length);
        partial.forget();
      }
    }
    if (verdict !== INCOMPLETE) return verdict;
  }
  // What is refused in the end may only be found out at its end.
  const rest = partial.take();
  return parseRequestHead(head, rest, 0, rest.length);
}

/** How Node's server reads `text`; undefined where it refuses. */
function readByNode(text: string): Promise<IncomingMessage | undefined> {
  return new Promise((resolve) => {
    const server = createServer((incoming) => resolve(incoming));
    server.on("clientError", () => resolve(undefined));
    const duplex = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    server.emit("connection", duplex);
    duplex.push(Buffer.from(text, "latin1"));
    setImmediate(() => setImmediate(() => resolve(undefined)));
  });
}

describe("parseResponseHead()", () => {
  it("finds status, framing and the server's limit on idling", () => {
    const head = createHead();
    const text = lines("HTTP/1.1 404 Not Found", "Content-Length: 3", "Keep-Alive: timeout=5, max=10");
    assert.equal(response(text, head), text.length);
    assert.deepEqual([head.status, head.contentLength, head.keepAliveSeconds, head.close], [404, 3, 5, false]);
    assert.ok(response(lines("HTTP/1.1 204 "), head) > 0);
    assert.ok(response(lines("HTTP/1.0 200 OK"), head) > 0);
    assert.equal(head.close, true);
  });

  for (const [what, text] of Object.entries({
    "both lengths": lines("HTTP/1.1 200 OK", "Content-Length: 1", "Transfer-Encoding: chunked"),
    "a folded field": lines("HTTP/1.1 200 OK", "X: y", " z"),
    "a short status": lines("HTTP/1.1 20 OK", "X: yy"),
    "a bare line feed": "HTTP/1.1 200 OK\nX: y\r\n\r\n",
    "another protocol": "SSH-2.0-OpenSSH_9.2p1 Debian\r\n",
  })) {
    it(`refuses ${what}`, () => assert.equal(response(text), MALFORMED));
  }
});

describe("findHeadEnd()", () => {
  it("finds the empty line across any two searches", () => {
    const bytes = Buffer.from("a\r\nb\r\n\r\nc");
    for (let cut = 0; cut < bytes.length; cut++) {
      const first = findHeadEnd(bytes, 0, cut);
      assert.equal(first > 0 ? first : findHeadEnd(bytes, cut, bytes.length), 8);
    }
  });
});
