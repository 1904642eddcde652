import assert from "node:assert/strict";
import { RESPONSES, type ResponseCase } from "../../test/support/corpus/http1-responses.ts";
import { Wire } from "../../test/support/http1-wire.ts";
import { Llhttp } from "../../test/support/llhttp.ts";

/** Has a server answer the case's request by `pieces`, one read each. */
function answered(c: ResponseCase, pieces: readonly Buffer[]): Wire {
  const wire = new Wire(() => undefined);
  wire.say(c.request);
  const [server] = wire.servers;
  assert.ok(server !== undefined);
  for (const piece of pieces) {
    server.deliver(piece);
    wire.settle();
  }
  if (c.ends) server.deliverEnd();
  wire.settle();
  return wire;
}

function judge(c: ResponseCase, wire: Wire, early: boolean): void {
  const { client } = wire;
  const reader = new Llhttp("response", () => c.request.startsWith("HEAD"));
  reader.execute(Buffer.from(client.text, "latin1"));
  const over = client.ended || client.closed;
  if (over && !client.wasReset) reader.finish();
  assert.equal(reader.error, undefined, `llhttp refuses ${JSON.stringify(client.text)}`);
  const seen = reader.messages.map(({ status, body }) => `${status} ${body}`);
  if (c.verdict === "cut" || (c.verdict === 502 && early && client.wasReset)) {
    assert.ok(client.wasReset, "an answer that was cut short must not end in order");
    assert.deepEqual(seen, []);
    return;
  }
  if (c.verdict === 502)
    assert.deepEqual(
      seen.map((text) => text.slice(0, 4)),
      ["502 "],
    );
  else assert.deepEqual(seen, c.verdict);
  assert.equal(over, !c.stays);
  if (!c.stays) return;
  // The next request must get an answer of its own, not what was left of this one.
  wire.say(c.request.replace(" / ", " /next "));
  const server = wire.servers.at(-1);
  assert.match(wire.seen.at(-1)?.messages.at(-1)?.target ?? "", /^\/next$/);
  server?.deliver(Buffer.from("HTTP/1.1 404 Mine\r\nContent-Length: 0\r\n\r\n"));
  wire.settle();
  assert.match(client.text, /HTTP\/1\.1 404 Mine\r\n[\s\S]*\r\n\r\n$/);
}

describe("HTTP/1 responses of the corpus", () => {
  for (const c of RESPONSES) {
    it(`${c.group}: ${c.name}`, () => judge(c, answered(c, [Buffer.from(c.bytes, "latin1")]), false));
  }

  it("are read alike at every split, and octet by octet", () => {
    for (const c of RESPONSES) {
      const bytes = Buffer.from(c.bytes, "latin1");
      const step = Math.max(1, Math.floor(bytes.length / 300));
      for (let cut = 1; cut < bytes.length; cut += step) {
        judge(c, answered(c, [bytes.subarray(0, cut), bytes.subarray(cut)]), true);
      }
      if (step === 1)
        judge(
          c,
          answered(
            c,
            Array.from(bytes, (octet) => Buffer.of(octet)),
          ),
          true,
        );
    }
  });
});
