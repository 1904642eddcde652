import assert from "node:assert/strict";
import fc from "fast-check";
import { NEXT, REQUESTS } from "../../test/support/corpus/http1-requests.ts";
import { Wire } from "../../test/support/http1-wire.ts";
import { Llhttp, type ReadMessage, summary } from "../../test/support/llhttp.ts";

/** Octets and words that parsers have disagreed about. */
const ODD = [
  ...'\r\n\0\t \x0b\x7f\x80\xff:;,="\\/@+-0_',
  "\r\n",
  "\r\n\r\n",
  "\n\n",
  "\r\n ",
  "chunked",
  "Content-Length: 5\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: close\r\n",
  "Connection: keep-alive, transfer-encoding\r\n",
  "Upgrade: websocket\r\n",
  "Expect: 100-continue\r\n",
  "Host: web.shop\r\n",
  "0\r\n\r\n",
  "5\r\nhello\r\n",
  "HTTP/1.0",
  "HTTP/1.1",
  "GET ",
  "HEAD ",
  "http://web.shop",
  "*",
];

const short = REQUESTS.filter(({ bytes, stricter }) => bytes.length < 400 && stricter === undefined);
const base = fc.oneof(
  fc.constantFrom(...short.map(({ bytes }) => bytes)),
  fc.tuple(fc.constantFrom(...short), fc.constantFrom(...short)).map(([a, b]) => a.bytes + b.bytes),
);

type Edit = { kind: "insert" | "replace" | "delete" | "double"; at: number; text: string };
const edit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom("insert", "replace", "delete", "double"),
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  text: fc.oneof(
    fc.constantFrom(...ODD),
    fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
  ),
});

function apply(text: string, { kind, at, text: more }: Edit): string {
  const i = Math.floor(at * text.length);
  switch (kind) {
    case "insert":
      return text.slice(0, i) + more + text.slice(i);
    case "replace":
      return text.slice(0, i) + more + text.slice(i + more.length);
    case "delete":
      return text.slice(0, i) + text.slice(i + more.length);
    case "double": {
      const end = text.indexOf("\n", i) + 1 || text.length;
      const start = text.lastIndexOf("\n", i - 1) + 1;
      return text.slice(0, end) + text.slice(start);
    }
    default:
      return kind satisfies never;
  }
}

const mutated = fc
  .tuple(base, fc.array(edit, { minLength: 1, maxLength: 4 }))
  .map(([text, edits]) => edits.reduce(apply, text));

/** Where llhttp is the stricter one, and why that is safe. */
const EXCUSED: Readonly<Record<string, string>> = {
  HPE_INVALID_METHOD: "It knows a closed list of methods; the server's parser decides on others.",
};

/** Absolute-form is taken apart on the way. */
function asForwarded(message: ReadMessage): string {
  const { target, method } = message;
  const rest = /^http:\/\/[^/?]*(.*)$/i.exec(target)?.[1];
  if (rest === undefined) return summary(message);
  const path = rest === "" ? (method === "OPTIONS" ? "*" : "/") : rest.startsWith("?") ? `/${rest}` : rest;
  return summary({ ...message, target: path });
}

/** What a field is worth forwarding for: all but those that end at each hop. */
function endToEnd(message: ReadMessage): string[] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < message.fields.length; i += 2) {
    pairs.push([(message.fields[i] ?? "").toLowerCase(), message.fields[i + 1] ?? ""]);
  }
  const nominated = pairs
    .filter(([name]) => name === "connection")
    .flatMap(([, value]) => value.toLowerCase().split(/[ \t,]+/));
  const framing = ["content-length", "transfer-encoding"];
  const hop = ["connection", "keep-alive", "proxy-connection", "te", "upgrade", "host", "proxy-authorization"];
  return pairs
    .filter(([name]) => framing.includes(name) || (!hop.includes(name) && !nominated.includes(name)))
    .map(([name, value]) => `${name}: ${value}`);
}

describe("what HTTP/1 passes on, against llhttp", () => {
  it("is what llhttp reads in the octets that came, and what it reads in those that went out", function () {
    this.timeout(60_000);
    fc.assert(
      fc.property(mutated, (text) => {
        const bytes = Buffer.from(text + NEXT, "latin1");
        const wire = new Wire();
        wire.say(bytes);
        const refused = /HTTP\/1\.1 (4\d\d) [\s\S]*$/.exec(wire.client.text)?.[1];
        const theirs = new Llhttp("request");
        theirs.execute(bytes);
        const messages = wire.seen.flatMap((seen) => seen.messages);
        const why = JSON.stringify({ text, refused, theirs: theirs.error, forwarded: wire.forwarded });
        for (const { error } of wire.seen) {
          if (error === undefined || EXCUSED[error] !== undefined) continue;
          // Refused in the middle: the server has seen the malformed part, and no end.
          assert.ok(refused !== undefined, `llhttp says ${error} to what went out: ${why}`);
        }
        if (wire.handler.tunnelled !== undefined) return;
        for (const [i, message] of messages.entries()) {
          const other = theirs.messages[i];
          if (other === undefined && EXCUSED[theirs.error ?? ""] !== undefined) return;
          assert.ok(other !== undefined, `llhttp reads no such request: ${why}`);
          assert.equal(summary(message), asForwarded(other), why);
          assert.deepEqual(endToEnd(message), endToEnd(other), why);
          assert.deepEqual(message.trailers, other.trailers, why);
        }
      }),
      { seed: 1_729, numRuns: 6_000 },
    );
  });

  it("does not depend on where it was cut", function () {
    this.timeout(60_000);
    fc.assert(
      fc.property(mutated, fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 }), (text, places) => {
        const bytes = Buffer.from(text + NEXT, "latin1");
        const whole = new Wire();
        whole.say(bytes);
        const pieces = new Wire();
        const cuts = [...places.map((place) => Math.floor(place * bytes.length)), bytes.length].sort((a, b) => a - b);
        let from = 0;
        for (const cut of cuts) {
          if (cut > from) pieces.say(bytes.subarray(from, cut));
          from = cut;
        }
        assert.deepEqual(pieces.requests, whole.requests);
        assert.equal(pieces.client.text, whole.client.text);
        assert.equal(pieces.handler.tunnelled?.toString("latin1"), whole.handler.tunnelled?.toString("latin1"));
      }),
      { seed: 1_729, numRuns: 3_000 },
    );
  });
});
