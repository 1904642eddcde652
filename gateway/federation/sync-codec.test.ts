import assert from "node:assert/strict";
import fc from "fast-check";
import { MeshError } from "../../core/errors.ts";
import { defaultTrustDomain, identityParts } from "../../core/identity.ts";
import type { SyncMessage } from "../../protos/gen/causeway/federation/v1/SyncMessage.ts";
import type { Update__Output } from "../../protos/gen/causeway/federation/v1/Update.ts";
import { PEER_ENDPOINTS, PEER_SERVICES } from "../../registry/state.ts";
import { Inbox } from "./inbox.ts";
import { LIMITS } from "./limits.ts";
import { FEDERATION_SERVICE, readSyncMessage } from "./sync-codec.ts";
import { type Received, SYNC_KINDS, type SyncKind } from "./wire.ts";

const { Sync } = FEDERATION_SERVICE;
const PEER = { cluster: "east", trustDomain: defaultTrustDomain("east") };
const RUNS = { numRuns: 300 };

/** Mostly nearly right, so that what is beyond the first check is met too. */
const label = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("shop", "web", "a", "x".repeat(63)) },
  fc.constantFrom("__proto__", "constructor", "", "Web", "x".repeat(64), "-a", "a-", "1", "a/b", "\u0000", "web.shop"),
  fc.string({ maxLength: 300, unit: "binary" }),
);
const int = fc.oneof(fc.constantFrom(0, 1, 80, 65_535, 65_536, 4_294_967_295), fc.nat());
const long = fc.oneof(fc.constantFrom("0", "1", "9007199254740993", "18446744073709551615"), fc.nat().map(String));
const port = fc.record({
  name: label,
  port: int,
  protocol: fc.constantFrom("TCP", "UDP", ""),
  appProtocol: fc.constantFrom("", "http", "smtp"),
});
const settings = fc.record({
  requestTimeoutMs: int,
  retryLimit: int,
  retryHttpStatuses: fc.array(int, { maxLength: 5 }),
});
const service = fc.record({
  namespace: label,
  name: label,
  ports: fc.array(port, { maxLength: 4 }),
  exportedAtMs: fc
    .oneof(long, fc.constantFrom("-1", "-9223372036854775808"))
    .filter((text) => BigInt(text) < 2n ** 63n),
  settings: fc.option(settings),
});
const identity = fc.oneof(
  fc.constantFrom("spiffe://east.mesh/ns/a/sa/b", "spiffe://west.mesh/ns/a/sa/b", "spiffe://east.mesh/", ""),
  label,
);
const routeName = fc.oneof(
  fc.constantFrom(`${"a".repeat(26)}.east.mesh`, `${"a".repeat(26)}.west.mesh`, `${"a".repeat(26)}.east.mesh.evil`),
  label,
);
const endpoint = fc.record({
  id: label,
  ready: fc.boolean(),
  identity,
  zone: label,
  routes: fc.array(fc.record({ servicePort: int, targetPort: int, routeName }), { maxLength: 3 }),
});
const endpointSet = fc.record({
  namespace: label,
  name: label,
  endpoints: fc.array(endpoint, { maxLength: 3 }),
  total: int,
  ready: int,
});
const bundle = fc.record({
  trustDomain: fc.oneof(fc.constantFrom("east.mesh", "west.mesh"), label),
  cluster: label,
  sequence: long,
  x509Authorities: fc.array(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 3 },
  ),
});
const gateway = fc.record({ host: label, relayPort: int, federationPort: int, zone: label });
const resource = fc
  .record({ name: label, service, endpoints: endpointSet, bundle, gateway, which: fc.nat(8), named: fc.boolean() })
  .map(({ name, which, named, ...values }) => {
    const field = (["service", "endpoints", "bundle", "gateway"] as const)[which % 4] ?? "service";
    const value = values[field];
    const own = "namespace" in value ? `${value.namespace}/${value.name}` : name;
    return { name: named ? own : name, [field]: value };
  });
const update = fc.record({
  kind: fc.constantFrom(...SYNC_KINDS),
  revision: long,
  nonce: label,
  snapshot: fc.boolean(),
  more: fc.boolean(),
  upserts: fc.array(resource, { maxLength: 6 }),
  removes: fc.array(label, { maxLength: 3 }),
});

/** What must be true of anything that goes on to the registry. */
function checkReceived(kind: SyncKind, { name, key, value }: Received): void {
  const label1123 = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
  if (kind === "KIND_SERVICES" || kind === "KIND_ENDPOINTS") {
    assert.match(name, /^[a-z0-9-]{1,63}\/[a-z0-9-]{1,63}$/);
    assert.ok(key.startsWith(`${(kind === "KIND_SERVICES" ? PEER_SERVICES : PEER_ENDPOINTS).prefix}east/`));
  }
  if (kind === "KIND_SERVICES") {
    const read = PEER_SERVICES.decode(value);
    assert.equal(read.cluster, "east");
    assert.match(read.name, label1123);
    assert.equal(new Set(read.ports.map((each) => each.port)).size, read.ports.length);
    for (const each of read.ports) assert.ok(each.port >= 1 && each.port <= 65_535 && each.protocol === "TCP");
    assert.ok(Number.isSafeInteger(read.exportedAtMs) && read.exportedAtMs >= 0);
  }
  if (kind === "KIND_ENDPOINTS") {
    const read = PEER_ENDPOINTS.decode(value);
    assert.equal(new Set(read.endpoints.map(({ id }) => id)).size, read.endpoints.length);
    for (const each of read.endpoints) {
      assert.equal(identityParts(each.identity).trustDomain, "east.mesh");
      for (const route of each.routes) assert.match(route.routeName, /^[a-z2-7]{26}\.east\.mesh$/);
    }
  }
}

describe("readSyncMessage() and Inbox, whatever comes", () => {
  it("readSyncMessage() answers any bytes with a message or a MeshError", () => {
    const read = (bytes: Buffer) => {
      const { body } = readSyncMessage(bytes);
      if (body instanceof Error) assert.ok(body instanceof MeshError && /^Cannot read a message: /.test(body.message));
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => read(Buffer.from(bytes))),
      RUNS,
    );
    const broken = fc.record({ update, at: fc.nat(), byte: fc.nat(255) }).map(({ update: whole, at, byte }) => {
      const bytes = Sync.requestSerialize({ update: whole });
      bytes[at % bytes.length] = byte;
      return bytes;
    });
    fc.assert(fc.property(broken, read), RUNS);
  });

  it("readSyncMessage() takes what this build sends, and nothing that is more than its bytes let one expect", () => {
    fc.assert(
      fc.property(update, (whole) => {
        assert.ok(!(readSyncMessage(Sync.requestSerialize({ update: whole })).body instanceof Error));
      }),
      { numRuns: 100 },
    );
    const many: SyncMessage[] = [
      { update: { removes: new Array<string>(LIMITS.messageItems + 1).fill("") } },
      { update: { upserts: new Array<object>(LIMITS.messageItems + 1).fill({}) } },
      { ack: { refused: new Array<object>(LIMITS.messageItems + 1).fill({}) } },
      { digest: { kinds: new Array<object>(LIMITS.messageItems + 1).fill({}) } },
      { update: { upserts: [{ service: { settings: { retryHttpStatuses: new Array<number>(300_000).fill(1) } } }] } },
      { goodbye: { reason: "x".repeat(LIMITS.messageBytes) } },
    ];
    for (const message of many) {
      const { body } = readSyncMessage(Sync.requestSerialize(message));
      assert.ok(body instanceof MeshError && body.code === "LIMIT_EXCEEDED", Object.keys(message).join());
    }
    // Groups, which a decoder follows as deep as they go.
    const { body } = readSyncMessage(Buffer.alloc(500_000, 0x0b));
    assert.ok(body instanceof MeshError && body.code === "PROTOCOL_VIOLATION");
  });

  it("Inbox takes nothing that breaks the rules, and throws nothing but MeshError", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(update, { maxLength: 5 }), async (updates) => {
        const stored = new Map<SyncKind, Map<string, Received>>(SYNC_KINDS.map((kind) => [kind, new Map()]));
        const inboxes = new Map(
          SYNC_KINDS.map((kind) => {
            const sink = {
              admit: (received: Received) => checkReceived(kind, received),
              async apply(_kind: SyncKind, upserts: readonly Received[], removes: readonly string[], whole?: object) {
                const held = stored.get(kind) ?? new Map<string, Received>();
                if (whole !== undefined) held.clear();
                for (const name of removes) held.delete(name);
                for (const received of upserts) held.set(received.name, received);
              },
            };
            return [
              kind,
              new Inbox(
                kind,
                PEER,
                sink,
                () => 0,
                () => {},
              ),
            ] as const;
          }),
        );
        for (const message of updates) {
          const { body } = readSyncMessage(Sync.requestSerialize({ update: message }));
          if (body instanceof Error || !body.update) assert.fail("not read");
          const { kind } = message;
          const inbox = inboxes.get(kind);
          const ack = await inbox?.receive(body.update as Update__Output);
          for (const error of [ack?.error ?? "", ...(ack?.refused ?? []).map((refusal) => refusal.error ?? "")])
            assert.match(error, /^$|^[A-Z_]+: Cannot [\x20-\x7e]+$/);
          for (const text of inbox?.refusals ?? []) assert.ok(!/[^\x20-\x7e]/.test(text));
          for (const received of stored.get(kind)?.values() ?? []) checkReceived(kind, received);
        }
      }),
      RUNS,
    );
  });

  it("Inbox refuses what is over its limit in bytes, and keeps what is within", async () => {
    let stored: readonly Received[] = [];
    const sink = {
      admit() {},
      async apply(_kind: SyncKind, upserts: readonly Received[]) {
        stored = upserts;
      },
    };
    const inbox = new Inbox(
      "KIND_ENDPOINTS",
      PEER,
      sink,
      () => 0,
      () => {},
    );
    const routes = Array.from({ length: 60 }, (_, i) => {
      return { servicePort: 1_000 + i, targetPort: 10_000 + i, routeName: `${"a".repeat(26)}.east.mesh` };
    });
    const endpoints = Array.from({ length: 90 }, (_, i) => {
      return { id: `pod-${i}`, ready: true, identity: "spiffe://east.mesh/ns/a/sa/b", zone: "", routes };
    });
    const refused: string[] = [];
    for (let i = 0; i < 200; i++) {
      const set = { namespace: "shop", name: `web-${i}`, endpoints, total: 0, ready: 0 };
      const upserts = [{ name: `shop/web-${i}`, value: "endpoints" as const, endpoints: set }];
      const more = i < 199;
      const part = { kind: inbox.kind, revision: "1", nonce: "n", snapshot: true, more, upserts, removes: [] };
      const ack = await inbox.receive(part);
      refused.push(...(ack.refused ?? []).map(({ error }) => error ?? ""));
    }
    const bytes = stored.reduce((sum, { value }) => sum + value.length, 0);
    assert.ok(bytes <= LIMITS.kindBytes && bytes > 0.95 * LIMITS.kindBytes, `${bytes}`);
    assert.equal(stored.length + refused.length, 200);
    assert.match(refused[0] ?? "", /^LIMIT_EXCEEDED: Cannot take more bytes of east/);
  });
});
