import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { NEXT, REQUESTS, type RequestCase } from "../../test/support/corpus/http1-requests.ts";
import { verdictPage } from "../../test/support/corpus/verdict-page.ts";
import { Wire } from "../../test/support/http1-wire.ts";

/** Past every limit in time. */
const LONG_MS = 70_000;

interface Outcome {
  /** Complete requests that the server has read. */
  readonly requests: readonly string[];
  readonly forwarded: string;
  /** Status of the first answer to the client. */
  readonly answer: string;
  readonly over: boolean;
  readonly tunnelled: string | undefined;
}

/** Delivers `pieces` one read after the other and says what came of it. */
function deliver(pieces: readonly Buffer[]): { wire: Wire; outcome: Outcome } {
  const wire = new Wire();
  for (const piece of pieces) wire.say(piece);
  const { client, handler } = wire;
  const outcome = {
    requests: wire.requests,
    forwarded: wire.forwarded,
    answer: client.text.slice(9, 12),
    over: client.ended || client.closed,
    tunnelled: handler.tunnelled?.toString("latin1"),
  };
  return { wire, outcome };
}

function judge(c: RequestCase, wire: Wire, outcome: Outcome, followed: boolean): void {
  const { requests, answer, over, forwarded } = outcome;
  const refusals = wire.seen.map(({ error }) => error).filter((error) => error !== undefined);
  if (c.stricter?.llhttp !== undefined) {
    assert.deepEqual(refusals, ["HPE_INVALID_METHOD"], c.stricter.llhttp);
    assert.ok(Array.isArray(c.verdict) && forwarded.startsWith(String(c.verdict[0]).trimEnd()));
    return;
  }
  // Of what we refuse in the middle a server may have seen enough to refuse it itself.
  if (typeof c.verdict !== "number") assert.deepEqual(refusals, [], `llhttp refuses ${JSON.stringify(forwarded)}`);
  if (c.verdict === "tunnel") assert.equal(outcome.tunnelled, followed ? NEXT : "");
  else if (c.verdict === "waits") assert.deepEqual([requests, answer], [[], ""]);
  else if (typeof c.verdict === "number") {
    assert.deepEqual([requests, answer, over], [[], String(c.verdict), true]);
    assert.equal(wire.client.text.split("HTTP/1.1 ").length, 2, "answered more than once");
    // An unfinished request must not look like a whole one to the server.
    assert.ok(wire.servers.every(({ closed }) => closed));
  } else {
    assert.deepEqual(requests, followed ? [...c.verdict, "GET /next "] : c.verdict);
    assert.equal(over, false);
  }
}

/** Of a long case: the first and last octets, and those around 4 KiB steps. */
function cuts(length: number): number[] {
  const all = Array.from({ length: length - 1 }, (_, i) => i + 1);
  return length < 2_500 ? all : all.filter((cut) => cut < 100 || length - cut < 100 || cut % 4_096 < 2);
}

describe("HTTP/1 requests of the corpus", () => {
  for (const c of REQUESTS) {
    it(`${c.group}: ${c.name}`, async () => {
      const alone = Buffer.from(c.bytes, "latin1");
      const { wire, outcome } = deliver([alone]);
      judge(c, wire, outcome, false);
      if (c.verdict === "waits") {
        await wire.pass(LONG_MS);
        assert.equal(wire.client.text.slice(9, 12), "408");
        assert.deepEqual(wire.requests, []);
        return;
      }
      const bytes = Buffer.concat([alone, Buffer.from(NEXT, "latin1")]);
      const together = deliver([bytes]);
      judge(c, together.wire, together.outcome, true);
    });
  }

  it("are read alike at every split, and octet by octet", function () {
    this.timeout(60_000);
    for (const c of REQUESTS) {
      if (c.verdict === "waits") continue;
      const bytes = Buffer.from(c.bytes + NEXT, "latin1");
      const whole = deliver([bytes]).outcome;
      const same = (pieces: readonly Buffer[], where: string) => {
        const { wire, outcome } = deliver(pieces);
        judge(c, wire, outcome, true);
        // What was sent of a request whose body turned out malformed depends on when that was seen.
        if (typeof c.verdict !== "number") assert.equal(outcome.forwarded, whole.forwarded, `${c.name}, ${where}`);
      };
      for (const cut of cuts(bytes.length)) same([bytes.subarray(0, cut), bytes.subarray(cut)], `cut at ${cut}`);
      if (bytes.length < 2_500)
        same(
          Array.from(bytes, (octet) => Buffer.of(octet)),
          "octet by octet",
        );
    }
  });

  it("are told in docs/http1-verdicts.md", () => {
    const page = readFileSync(new URL("../../docs/http1-verdicts.md", import.meta.url), "utf8");
    assert.equal(page, verdictPage(), "Run node scripts/http1-verdicts.mjs.");
  });
});
