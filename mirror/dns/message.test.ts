import assert from "node:assert/strict";
import { type Answer, decode, encode, type RecordType } from "dns-packet";
import fc from "fast-check";
import { MAX_QUERY_BYTES, respond } from "./message.ts";
import type { Zone, ZoneService } from "./zone.ts";

const MANY = 200;
const big: ZoneService = {
  kind: "headless",
  ips: [],
  ports: [],
  target: "",
  endpoints: Array.from({ length: MANY }, (_, i) => ({
    address: `10.1.${i >> 8}.${i & 255}`,
    hostname: `h${i}`,
    cluster: "west",
    ports: [],
  })),
};
const web: ZoneService = { kind: "address", ips: ["10.0.0.1"], ports: [], endpoints: [], target: "" };
const zone: Zone = {
  ready: true,
  hasNamespace: () => true,
  service: (_domain, namespace, name) =>
    new Map([
      ["shop/web", web],
      ["shop/big", big],
    ]).get(`${namespace}/${name}`),
};
const WEB = "web.shop.svc.cluster.local";
const BIG = "big.shop.svc.cluster.local";

function query(name: string, type: RecordType = "A", additionals: Answer[] = []): Buffer {
  return encode({ type: "query", id: 4711, flags: 0x100, questions: [{ name, type }], additionals });
}

function opt(udpPayloadSize: number, ednsVersion = 0): Answer {
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

function reply(bytes: Buffer, transport: "udp" | "tcp" = "udp") {
  const response = respond(bytes, transport, zone);
  assert.ok(response);
  const { rcode, ...packet } = decode(response) as ReturnType<typeof decode> & { rcode: string };
  return { response, rcode, ...packet };
}

describe("respond()", () => {
  it("answers with the id and the recursion flag of the query, as authority", () => {
    const { id, flag_rd, flag_ra, flag_aa, rcode, answers } = reply(query(WEB));
    assert.deepEqual(
      { id, flag_rd, flag_ra, flag_aa, rcode },
      { id: 4711, flag_rd: true, flag_ra: false, flag_aa: true, rcode: "NOERROR" },
    );
    assert.equal(answers?.length, 1);
  });

  it("returns the question byte by byte, case and odd bytes included", () => {
    const bytes = query("wEb.shop.svc.cluster.local");
    bytes[13] = 0xff;
    const { response, rcode } = reply(bytes);
    assert.equal(rcode, "NXDOMAIN");
    assert.deepEqual(response.subarray(12, bytes.length), bytes.subarray(12));
  });

  it("truncates over UDP at 512 bytes, at the offered size up to 1,232, and not over TCP", () => {
    const plain = reply(query(BIG));
    assert.equal(plain.flag_tc, true);
    assert.ok(plain.response.length <= 512);
    const edns = reply(query(BIG, "A", [opt(65_000)]));
    assert.equal(edns.flag_tc, true);
    assert.ok(edns.response.length <= 1_232);
    const tcp = reply(query(BIG), "tcp");
    assert.equal(tcp.flag_tc, false);
    assert.equal(tcp.answers?.length, MANY);
  });

  it("answers EDNS with EDNS and refuses versions that it does not know (RFC 6891)", () => {
    const [known] = reply(query(WEB, "A", [opt(4_096)])).additionals ?? [];
    assert.equal(known?.type, "OPT");
    assert.equal((reply(query(WEB)).additionals ?? []).length, 0);
    const [unknown] = reply(query(WEB, "A", [opt(4_096, 1)])).additionals ?? [];
    assert.equal(unknown?.type === "OPT" && unknown.extendedRcode, 1);
    assert.equal(reply(query(WEB, "A", [opt(4_096), opt(4_096)])).rcode, "FORMERR");
  });

  it("says NOTIMP to other operations, REFUSED to other classes, FORMERR to several questions", () => {
    const notify = query(WEB);
    notify.writeUInt16BE(4 << 11, 2);
    assert.equal(reply(notify).rcode, "NOTIMP");
    const chaos = encode({ type: "query", id: 1, questions: [{ name: WEB, type: "TXT", class: "CH" }] });
    assert.equal(reply(chaos).rcode, "REFUSED");
    const two = encode({
      type: "query",
      id: 1,
      questions: [
        { name: WEB, type: "A" },
        { name: WEB, type: "AAAA" },
      ],
    });
    assert.equal(reply(two).rcode, "FORMERR");
  });

  it("is silent to responses and to what is too short, so that no two servers answer each other", () => {
    assert.equal(
      respond(encode({ type: "response", id: 1, questions: [{ name: WEB, type: "A" }] }), "udp", zone),
      undefined,
    );
    assert.equal(respond(Buffer.alloc(11), "udp", zone), undefined);
  });

  it("turns any bytes into silence or a response that a resolver can read", () => {
    const mutated = fc
      .tuple(
        fc.constantFrom(query(WEB), query(BIG, "A", [opt(1_232)])),
        fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 6 }),
      )
      .map(([bytes, edits]) => {
        const out = Buffer.from(bytes);
        for (const [at, value] of edits) if (at < out.length) out[at] = value;
        return out;
      });
    const any = fc.uint8Array({ maxLength: MAX_QUERY_BYTES + 50 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(mutated, any), fc.constantFrom("udp" as const, "tcp" as const), (bytes, transport) => {
        const response = respond(bytes, transport, zone);
        if (response === undefined) return;
        assert.ok(response.length <= (transport === "udp" ? 1_232 : 65_535));
        assert.deepEqual(response.subarray(0, 2), bytes.subarray(0, 2));
        assert.equal((response[2] ?? 0) & 0x80, 0x80);
        decode(response);
      }),
      { numRuns: 2_000, seed: 1 },
    );
  });
});
