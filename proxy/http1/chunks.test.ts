import assert from "node:assert/strict";
import fc from "fast-check";
import { createChunkState, scanChunks } from "./chunks.ts";
import { INCOMPLETE, MALFORMED } from "./head.ts";

/** Index after the message when scanned in pieces that end at `cuts`, or the verdict. */
function scan(bytes: Buffer, cuts: readonly number[]): number {
  const state = createChunkState();
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    const verdict = scanChunks(state, bytes, from, to);
    if (verdict !== INCOMPLETE) return verdict;
    from = to;
  }
  return INCOMPLETE;
}

const chunk = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((data) => {
  const bytes = Buffer.from(data);
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
});
const trailer = fc.constantFrom("", "a: b\r\n", 'etag: "x"\r\nb:\r\n');

describe("scanChunks()", () => {
  it("ends a message at the same octet however it is cut, and leaves what follows", () => {
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 4 }),
        trailer,
        fc.constantFrom("", "GET / HTTP/1.1\r\n"),
        (chunks, fields, after) => {
          const message = Buffer.concat([...chunks, Buffer.from(`0\r\n${fields}\r\n`)]);
          const bytes = Buffer.concat([message, Buffer.from(after)]);
          for (let cut = 1; cut < message.length; cut++) assert.equal(scan(bytes, [cut]), message.length);
          const every = Array.from({ length: message.length - 1 }, (_, i) => i + 1);
          assert.equal(scan(bytes, every), message.length);
        },
      ),
      { numRuns: 60 },
    );
  });

  for (const [what, text] of Object.entries({
    "no size": "\r\nx",
    "a sign": "+5\r\nhello\r\n",
    "0x": "0x5\r\nhello\r\n",
    "a blank after the size": "5 \r\nhello\r\n",
    "a bare line feed after the size": "5\nhello\r\n",
    "a size over 2^48": "1000000000000\r\n",
    "too much data": "5\r\nhelloo\r\n",
    "data without its end": "5\r\nhello0\r\n\r\n",
    "a line feed in an extension": "5;a\n\r\nhello\r\n",
    "extensions without end": `5;${"a".repeat(20_000)}`,
    "a folded trailer": "0\r\n a: b\r\n\r\n",
    "a trailer without colon": "0\r\nab\r\n\r\n",
    "a trailer of the mesh": "0\r\nX_causeway-client-id: x\r\n\r\n",
    "trailers without end": `0\r\na: ${"b".repeat(20_000)}`,
  })) {
    it(`refuses ${what}, at every split`, () => {
      const bytes = Buffer.from(text, "latin1");
      assert.equal(scan(bytes, []), MALFORMED);
      for (let cut = 1; cut < Math.min(bytes.length, 40); cut++) assert.equal(scan(bytes, [cut]), MALFORMED);
    });
  }
});
