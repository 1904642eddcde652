import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { MeshError } from "../../core/errors.ts";
import { defaultTrustDomain } from "../../core/identity.ts";
import { silentLog } from "../../core/log.ts";
import { rootFingerprint as fingerprintOf } from "../../identity/certificate.ts";
import { encodeBundle } from "../../identity/trust-state.ts";
import { LINKS, type Link, NAMESPACES, SECRETS, type Secret } from "../../kube/resources.ts";
import type { JoinRequest__Output } from "../../protos/gen/causeway/federation/v1/JoinRequest.ts";
import type { TrustBundle__Output } from "../../protos/gen/causeway/identity/v1/TrustBundle.ts";
import { FakeKube } from "../../test/support/fake-kube.ts";
import { createTestMesh, type TestMesh } from "../../test/support/mesh-identity.ts";
import { JoinServer } from "./join-server.ts";
import { createJoinToken, type JoinToken, parseJoinToken } from "./join-token.ts";

describe("JoinServer", () => {
  const clock = new ManualClock(Date.now());
  const gateways = [{ host: "10.0.0.1", relayPort: 4143, federationPort: 4180, zone: "" }];
  let meshes: Record<"east" | "west" | "north" | "impostor", TestMesh>;
  let kube: FakeKube;
  let server: JoinServer;

  before(async () => {
    const of = (name: string) => createTestMesh(name, clock.wallMs());
    meshes = { east: await of("east"), west: await of("west"), north: await of("north"), impostor: await of("west") };
  });

  beforeEach(async () => {
    // A new second: the limit on joins starts afresh.
    await clock.advance(1_000);
    kube = new FakeKube(clock);
    kube.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: SYSTEM_NAMESPACE } });
    const { bundle } = meshes.east.authority;
    const own = { cluster: "east", trustDomain: defaultTrustDomain("east") };
    server = new JoinServer({ ...own, kube, clock, log: silentLog, bundle: () => bundle, gateways: () => gateways });
  });

  const token = async (over: { ttlMs?: number; forCluster?: string } = {}): Promise<JoinToken> => {
    const rootFingerprint = fingerprintOf(meshes.east.root.certificate.raw);
    const base = { cluster: "east", trustDomain: "east.mesh", gateways, rootFingerprint, nowMs: clock.wallMs() };
    const { text, manifest } = createJoinToken({ ...base, ...over });
    await kube.create(SECRETS, manifest);
    return parseJoinToken(text, clock.wallMs());
  };

  const request = (
    by: JoinToken,
    caller: keyof typeof meshes,
    over: Partial<JoinRequest__Output> = {},
  ): JoinRequest__Output => {
    const { bundle } = meshes[caller].authority;
    return {
      tokenId: by.id,
      tokenSecret: by.secret,
      cluster: bundle.cluster,
      bundle: encodeBundle(bundle) as TrustBundle__Output,
      gateways: [{ host: "10.0.0.2", relayPort: 4143, federationPort: 4180, zone: "" }],
      wantsImport: true,
      offersExport: false,
      protocol: 1,
      ...over,
    };
  };

  it("answers with what it stored before: a Link that does not dial, and its Secret", async () => {
    const answer = await server.join(request(await token(), "west"));
    const link = await kube.get<Link>(LINKS, "west");
    assert.deepEqual([link?.spec.dial, link?.spec.import, link?.spec.export], [false, false, true]);
    const secret = await kube.get<Secret>(SECRETS, "causeway-link-west", SYSTEM_NAMESPACE);
    assert.equal(secret?.data?.["linkSecret"], Buffer.from(answer.linkSecret ?? "").toString("base64"));
  });

  it("gives the same answer to the same cluster again, wherever it was interrupted", async () => {
    const by = await token();
    kube.intercept = ({ verb, type }) => {
      if (verb === "create" && type === LINKS) throw new MeshError("CLUSTER_UNREACHABLE", "away");
    };
    await assert.rejects(server.join(request(by, "west")), { code: "CLUSTER_UNREACHABLE" });
    kube.intercept = () => {};
    const first = await server.join(request(by, "west"));
    const second = await server.join(request(by, "west"));
    assert.deepEqual(second.linkSecret, first.linkSecret);
    assert.ok(await kube.get(LINKS, "west"));
  });

  it("lets only one of two callers of one token in, even at the same time", async () => {
    const by = await token();
    const both = await Promise.allSettled([server.join(request(by, "west")), server.join(request(by, "north"))]);
    assert.equal(both.filter(({ status }) => status === "fulfilled").length, 1);
    await assert.rejects(server.join(request(by, "impostor")), { code: /TOKEN_USED/ });
  });

  it("replaces the link secret at another join, and takes over what is wanted now", async () => {
    const first = await server.join(request(await token(), "west"));
    const second = await server.join(request(await token(), "west", { offersExport: true }));
    assert.notDeepEqual(second.linkSecret, first.linkSecret);
    assert.equal((await kube.get<Link>(LINKS, "west"))?.spec.import, true);
  });

  const refused: [string, string, () => Promise<JoinRequest__Output>][] = [
    ["another protocol", "PROTOCOL_VERSION", async () => request(await token(), "west", { protocol: 2 })],
    ["itself", "LINK_SELF", async () => request(await token(), "east")],
    ["its own name with another root", "LINK_SELF", async () => request(await token(), "west", { cluster: "east" })],
    ["a bad name", "NAME_INVALID", async () => request(await token(), "west", { cluster: "We/st" })],
    ["no bundle", "IDENTITY_INVALID", async () => request(await token(), "west", { bundle: null })],
    ["another's bundle", "IDENTITY_UNEXPECTED", async () => request(await token(), "west", { cluster: "north" })],
    ["an unknown token", "TOKEN_INVALID", async () => request(await token(), "west", { tokenId: "0".repeat(16) })],
    ["an id that is a path", "TOKEN_INVALID", async () => request(await token(), "west", { tokenId: "../../x" })],
    ["a wrong secret", "TOKEN_INVALID", async () => request(await token(), "west", { tokenSecret: "x".repeat(43) })],
    ["an expired token", "TOKEN_EXPIRED", async () => request(await token({ ttlMs: -1 }), "west")],
    ["a token for another", "TOKEN_INVALID", async () => request(await token({ forCluster: "north" }), "west")],
  ];
  for (const [what, code, make] of refused) {
    it(`refuses ${what} with ${code} and stores nothing`, async () => {
      await assert.rejects(server.join(await make()), { code });
      assert.deepEqual(await kube.list(LINKS), []);
    });
  }

  it("does not let a stranger take the name of a linked cluster", async () => {
    await server.join(request(await token(), "west"));
    await assert.rejects(server.join(request(await token(), "impostor")), { code: "LINK_EXISTS" });
  });

  it("limits how fast secrets can be guessed", async () => {
    const by = await token();
    const guesses = Array.from({ length: 20 }, () => server.join(request(by, "west", { tokenSecret: "x".repeat(43) })));
    const codes = (await Promise.allSettled(guesses)).map(
      (guess) => guess.status === "rejected" && (guess.reason as MeshError).code,
    );
    assert.deepEqual([codes.filter((code) => code === "TOKEN_INVALID").length, codes.at(-1)], [10, "LIMIT_EXCEEDED"]);
  });
});
