import assert from "node:assert/strict";
import { once } from "node:events";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { type Clock, systemClock } from "../core/clock.ts";
import type { MeshErrorCode } from "../core/errors.ts";
import type { Identity } from "../core/identity.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { LIFETIME_MS } from "../identity/certificate.ts";
import { createCsr } from "../identity/csr.ts";
import { GRPC_CLIENT_OPTIONS, grpcChannelCredentials, serverAuthChannelCredentials } from "../identity/grpc-channel.ts";
import { type GrpcListener, listenGrpc } from "../identity/grpc-server.ts";
import { meshErrorOf } from "../identity/grpc-status.ts";
import { TrustStore } from "../identity/trust-store.ts";
import {
  startWorkloadIdentity,
  type WorkloadIdentity,
  type WorkloadIdentityOptions,
} from "../identity/workload-identity.ts";
import type { IdentityClient } from "../protos/gen/causeway/identity/v1/Identity.ts";
import { loadIdentity } from "../protos/load.ts";
import { eventually } from "../test/support/eventually.ts";
import { FakeKube } from "../test/support/fake-kube.ts";
import { createTestMesh, type TestMesh, type TestWorkload } from "../test/support/mesh-identity.ts";
import { IdentityMetrics } from "./ca/identity-metrics.ts";
import { ANONYMOUS_IDENTITY_METHODS, addIdentityService } from "./identity-service.ts";

describe("the Identity service", () => {
  let east: TestMesh;
  let west: TestMesh;
  let control: TestWorkload;
  let listener: GrpcListener;
  let stop: AbortController;
  let undo: (() => unknown)[];
  const kube = new FakeKube();

  before(async () => {
    east = await createTestMesh("east", Date.now());
    west = await createTestMesh("west", Date.now());
  });
  beforeEach(async () => {
    stop = new AbortController();
    undo = [];
    control = await east.workload(east.identity("causeway-system", "causeway-control"), [], systemClock, stop.signal);
    listener = await listen(0);
  });
  afterEach(async () => {
    stop.abort();
    for (const run of undo.reverse()) await run();
  });

  async function listen(port: number, clock: Clock = systemClock): Promise<GrpcListener> {
    const { source, trust } = control;
    const reviewToken = (token: string, audiences: readonly string[]) => kube.reviewToken(token, audiences);
    let end = () => {};
    const it = await listenGrpc({
      host: "127.0.0.1",
      port,
      source,
      trust,
      clock: systemClock,
      log: silentLog,
      anonymousMethods: ANONYMOUS_IDENTITY_METHODS,
      services(server, peerOf) {
        const authority = () => east.authority;
        const deps = {
          authority,
          leafLifetimeMs: LIFETIME_MS.leaf,
          metrics: new IdentityMetrics(),
          trust,
          reviewToken,
        };
        end = addIdentityService(server, { ...deps, peerOf, clock, log: silentLog });
      },
    });
    const close = async () => {
      end();
      await it.close(1_000);
    };
    undo.push(() => it.close(0));
    return { port: it.port, close };
  }

  function anonymousClient(): IdentityClient {
    const { trustDomain, bundle } = east.authority;
    const deps = { trust: new TrustStore([bundle]), trustDomain, expected: control.identity, clock: systemClock };
    const address = `dns:127.0.0.1:${listener.port}`;
    const client = new (loadIdentity().Identity)(address, serverAuthChannelCredentials(deps), GRPC_CLIENT_OPTIONS);
    undo.push(() => client.close());
    return client;
  }

  function start(identity: Identity, token: () => string): Promise<WorkloadIdentity> {
    const options: WorkloadIdentityOptions = {
      controlAddresses: [`127.0.0.1:${listener.port}`],
      rootsDer: east.authority.bundle.x509Authorities,
      controlIdentity: control.identity,
      identity,
      tokenSource: async () => token(),
      clock: systemClock,
      random: seededRandom(3),
      log: silentLog,
    };
    return startWorkloadIdentity(options, stop.signal);
  }

  async function refusal(
    client: IdentityClient,
    csr: Buffer,
    token: string,
  ): Promise<[status | undefined, MeshErrorCode]> {
    const error = await new Promise<ServiceError>((resolve, reject) => {
      client.Certify({ csr, token }, new Metadata(), { deadline: Date.now() + 10_000 }, (failure) => {
        if (failure === null) reject(new Error("it was certified"));
        else resolve(failure);
      });
    });
    return [error.code, meshErrorOf(error, "certify").code];
  }

  it("gives a workload its certificate and its bundles, and follows trust", async () => {
    const web = await start(east.identity("shop", "web"), () => "fake:shop:web");
    assert.equal(web.source.svid.identity, east.identity("shop", "web"));
    assert.equal(web.source.svid.chain.length, 2);
    assert.equal(web.trust.bundles.get(east.authority.trustDomain)?.sequence, 1n);
    control.trust.set(west.authority.bundle);
    await eventually(() => web.trust.bundles.has(west.authority.trustDomain));
    control.trust.delete(west.authority.trustDomain);
    await eventually(() => !web.trust.bundles.has(west.authority.trustDomain));
    stop.abort();
    await web.done;
  });

  it("keeps a workload's trust while control is away, and brings it up to date after", async () => {
    const web = await start(east.identity("shop", "web"), () => "fake:shop:web");
    control.trust.set(west.authority.bundle);
    await eventually(() => web.trust.bundles.has(west.authority.trustDomain));
    await listener.close(0);
    const north = await createTestMesh("north", Date.now());
    control.trust.set(north.authority.bundle);
    assert.ok(web.trust.bundles.has(west.authority.trustDomain));
    listener = await listen(listener.port);
    await eventually(() => web.trust.bundles.has(north.authority.trustDomain));
    stop.abort();
    await web.done;
  });

  it("waits for a token that is refused at first", async () => {
    let asked = 0;
    const web = await start(east.identity("shop", "web"), () => (++asked < 3 ? "stale" : "fake:shop:web"));
    assert.equal(web.source.svid.identity, east.identity("shop", "web"));
    assert.equal(asked, 3);
  });

  it("refuses tokens that are unknown, missing, too long or another's, and identities that are not its own", async () => {
    const client = anonymousClient();
    const { csrDer } = await createCsr(east.identity("shop", "web"));
    const denied = [status.UNAUTHENTICATED, "SA_TOKEN_REFUSED"];
    for (const token of ["unknown", "", "fake:shop:admin", "fake:other:web", `fake:shop:web${"x".repeat(20_000)}`]) {
      assert.deepEqual(await refusal(client, csrDer, token), denied);
    }
    const foreign = await createCsr(west.identity("shop", "web"));
    assert.deepEqual(await refusal(client, foreign.csrDer, "fake:shop:web"), denied);
  });

  it("refuses a broken request", async () => {
    const client = anonymousClient();
    const invalid = [status.INVALID_ARGUMENT, "CSR_INVALID"];
    assert.deepEqual(await refusal(client, Buffer.from("nonsense"), "fake:shop:web"), invalid);
    assert.deepEqual(await refusal(client, Buffer.alloc(9_000), "fake:shop:web"), invalid);
  });

  it("limits how often one identity is certified, and no other for it", async () => {
    const client = anonymousClient();
    const certify = async (name: string): Promise<status> => {
      const { csrDer: csr } = await createCsr(east.identity("shop", name));
      return await new Promise((resolve) => {
        client.Certify({ csr, token: `fake:shop:${name}` }, (error) => resolve(error?.code ?? status.OK));
      });
    };
    const codes = await Promise.all(Array.from({ length: 40 }, () => certify("web")));
    assert.ok(codes.includes(status.OK) && codes.includes(status.RESOURCE_EXHAUSTED));
    assert.equal(await certify("cart"), status.OK);
  });

  it("lets only its own trust domain watch trust", async () => {
    control.trust.set(west.authority.bundle);
    const peer = await west.workload(west.identity("shop", "web"), [east.authority.bundle], systemClock, stop.signal);
    const { trustDomain } = east.authority;
    const credentials = grpcChannelCredentials({
      tls: peer.tls,
      trustDomain,
      expected: control.identity,
      clock: systemClock,
    });
    const client = new (loadIdentity().Identity)(`dns:127.0.0.1:${listener.port}`, credentials, GRPC_CLIENT_OPTIONS);
    undo.push(() => client.close());
    const [error] = (await once(client.WatchTrust({}), "error")) as [ServiceError];
    assert.equal(error.code, status.PERMISSION_DENIED);
  });
});
