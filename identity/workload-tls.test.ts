import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  createServer,
  type TLSSocket,
  type TlsOptions,
} from "node:tls";
import { ManualClock, systemClock } from "../core/clock.ts";
import { hasCode, MeshError } from "../core/errors.ts";
import type { Identity } from "../core/identity.ts";
import { createTestMesh, type TestMesh, type TestWorkload } from "../test/support/mesh-identity.ts";
import { OpenSsl } from "../test/support/openssl.ts";
import { pemOf } from "./certificate.ts";
import { issueLeaf } from "./certificate-authority.ts";
import { createCsr, parseCsr } from "./csr.ts";
import { peerChain } from "./peer-chain.ts";

type Judged = Identity | Error;

describe("WorkloadTls", () => {
  let east: TestMesh;
  let west: TestMesh;
  let web: TestWorkload;
  let client: TestWorkload;
  let stop: AbortController;
  const undo: (() => void)[] = [];

  before(async () => {
    east = await createTestMesh("east", Date.now());
    west = await createTestMesh("west", Date.now());
  });
  beforeEach(async () => {
    stop = new AbortController();
    web = await east.workload(east.identity("shop", "web"), [west.authority.bundle], systemClock, stop.signal);
    client = await west.workload(west.identity("shop", "client"), [east.authority.bundle], systemClock, stop.signal);
  });
  afterEach(() => {
    for (const run of undo.splice(0)) run();
    stop.abort();
  });

  /** A server that says, per connection, whom it sees or why it refuses. */
  async function serve(
    settings: TlsOptions,
    judge: (socket: TLSSocket) => Identity,
  ): Promise<{ port: number; next(): Promise<Judged> }> {
    const waiting: ((judged: Judged) => void)[] = [];
    const arrived: Judged[] = [];
    const tell = (judged: Judged) => {
      const taker = waiting.shift();
      if (taker === undefined) arrived.push(judged);
      else taker(judged);
    };
    const server = createServer(settings, (socket) => {
      undo.push(() => socket.destroy());
      socket.on("error", () => {});
      try {
        tell(judge(socket));
        socket.write("welcome");
      } catch (error) {
        tell(error instanceof Error ? error : new Error(String(error)));
        socket.destroy();
      }
    });
    server.on("tlsClientError", tell);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    undo.push(() => server.close());
    const next = () => {
      const judged = arrived.shift();
      return judged === undefined ? new Promise<Judged>((resolve) => waiting.push(resolve)) : Promise.resolve(judged);
    };
    return { port: (server.address() as AddressInfo).port, next };
  }

  const dial = (port: number, settings: TlsOptions, session?: Buffer): TLSSocket => {
    const options: ConnectionOptions = { host: "127.0.0.1", port, checkServerIdentity: () => undefined };
    options.secureContext = createSecureContext(settings);
    const socket = connect(session === undefined ? options : { ...options, session });
    undo.push(() => socket.destroy());
    socket.on("error", () => {});
    return socket;
  };

  it("shows each side the identity of the other, over TLS 1.3, across trust domains", async () => {
    const server = await serve(web.tls.serverTlsOptions(), (socket) => web.tls.verifyTlsPeer(socket));
    const socket = dial(server.port, client.tls.clientTlsOptions(east.authority.trustDomain));
    await once(socket, "secureConnect");
    assert.equal(socket.getProtocol(), "TLSv1.3");
    assert.equal(client.tls.verifyTlsPeer(socket, web.identity), web.identity);
    assert.equal(await server.next(), client.identity);
    assert.equal(peerChain(socket).length, 3);
  });

  it("throws IDENTITY_UNEXPECTED for a peer that is someone else", async () => {
    const server = await serve(web.tls.serverTlsOptions(), (socket) => web.tls.verifyTlsPeer(socket, () => false));
    const socket = dial(server.port, client.tls.clientTlsOptions(east.authority.trustDomain));
    await once(socket, "secureConnect");
    const unexpected = (error: unknown) => hasCode(error, "IDENTITY_UNEXPECTED");
    assert.throws(() => client.tls.verifyTlsPeer(socket, east.identity("shop", "admin")), unexpected);
    assert.ok(unexpected(await server.next()));
  });

  it("refuses a certificate of one domain signed by the CA of another, though OpenSSL knows both", async () => {
    const forged = { ...west.authority, trustDomain: east.authority.trustDomain };
    const liar = await createForged(forged, east.identity("shop", "admin"));
    const server = await serve(web.tls.serverTlsOptions(), (socket) => {
      assert.ok(socket.authorized);
      return web.tls.verifyTlsPeer(socket);
    });
    dial(server.port, { ...client.tls.clientTlsOptions(east.authority.trustDomain), ...liar });
    assert.ok(hasCode(await server.next(), "CERTIFICATE_UNTRUSTED"));
  });

  it("lets no client in without a certificate or with one of a CA made by openssl", async () => {
    using openssl = new OpenSsl();
    openssl.certificate("root", "root", "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n");
    const usage = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n";
    openssl.certificate("leaf", "root", `${usage}subjectAltName=URI:${east.identity("shop", "admin")}\n`);
    const server = await serve(web.tls.serverTlsOptions(), (socket) => web.tls.verifyTlsPeer(socket));
    const ca = client.tls.clientTlsOptions(east.authority.trustDomain).ca;
    const options = ca === undefined ? {} : { ca };
    dial(server.port, options);
    assert.ok((await server.next()) instanceof Error);
    dial(server.port, { ...options, cert: openssl.read("leaf.pem"), key: openssl.read("leaf.key") });
    assert.ok((await server.next()) instanceof Error);
  });

  it("does not connect to a server of another trust domain than asked for", async () => {
    const server = await serve(web.tls.serverTlsOptions(), (socket) => web.tls.verifyTlsPeer(socket));
    const socket = dial(server.port, client.tls.clientTlsOptions(west.authority.trustDomain));
    const [error] = await once(socket, "error");
    assert.ok(error instanceof Error && !socket.authorized);
  });

  it("verifies resumed sessions by the verdict on their leaf, and refuses them once its root is not believed", async () => {
    const server = await serve(web.tls.serverTlsOptions(), (socket) => web.tls.verifyTlsPeer(socket));
    const settings = client.tls.clientTlsOptions(east.authority.trustDomain);
    const first = dial(server.port, settings);
    const [session] = await once(first, "session");
    assert.equal(await server.next(), client.identity);
    await once(first, "data");
    assert.equal(client.tls.verifyTlsPeer(first), web.identity);

    const second = dial(server.port, settings, session);
    await once(second, "secureConnect");
    assert.ok(second.isSessionReused());
    assert.equal(client.tls.verifyTlsPeer(second, web.identity), web.identity);
    assert.equal(await server.next(), client.identity);

    web.trust.delete(west.authority.trustDomain);
    client.trust.delete(east.authority.trustDomain);
    const third = dial(server.port, settings, session);
    await once(third, "secureConnect");
    assert.ok(third.isSessionReused());
    assert.throws(
      () => client.tls.verifyTlsPeer(third),
      (error) => hasCode(error, "TRUST_DOMAIN_UNKNOWN"),
    );
    assert.ok(hasCode(await server.next(), "TRUST_DOMAIN_UNKNOWN"));
  });

  it("refuses a resumed session whose leaf it has no verdict on", async () => {
    const server = await serve(web.tls.serverTlsOptions(), (socket) => web.tls.verifyTlsPeer(socket));
    const settings = client.tls.clientTlsOptions(east.authority.trustDomain);
    const [session] = await once(dial(server.port, settings), "session");
    const forgetful = await west.workload(client.identity, [east.authority.bundle], systemClock, stop.signal);
    const second = dial(server.port, settings, session);
    await once(second, "secureConnect");
    assert.ok(second.isSessionReused());
    assert.throws(
      () => forgetful.tls.verifyTlsPeer(second),
      (error) => hasCode(error, "CERTIFICATE_UNTRUSTED"),
    );
  });

  it("keeps verdicts while the root stays, when a bundle gains another", async () => {
    const server = await serve(web.tls.serverTlsOptions(), (socket) => web.tls.verifyTlsPeer(socket));
    const settings = client.tls.clientTlsOptions(east.authority.trustDomain);
    const first = dial(server.port, settings);
    const [session] = await once(first, "session");
    client.tls.verifyTlsPeer(first);
    const { bundle } = east.authority;
    const more = await createTestMesh("east", Date.now());
    const roots = [...bundle.x509Authorities, ...more.authority.bundle.x509Authorities];
    client.trust.set({ ...bundle, sequence: 2n, x509Authorities: roots });
    const second = dial(server.port, settings, session);
    await once(second, "secureConnect");
    assert.ok(second.isSessionReused());
    assert.equal(client.tls.verifyTlsPeer(second), web.identity);
  });

  it("returns the same settings until SVID or bundles change", async () => {
    const asServer = web.tls.serverTlsOptions();
    const asClient = web.tls.clientTlsOptions(west.authority.trustDomain);
    assert.equal(web.tls.serverTlsOptions(), asServer);
    assert.equal(web.tls.clientTlsOptions(west.authority.trustDomain), asClient);
    const other = await createTestMesh("other", Date.now());
    web.trust.set(other.authority.bundle);
    assert.notEqual(web.tls.serverTlsOptions(), asServer);
    assert.equal(web.tls.clientTlsOptions(west.authority.trustDomain), asClient);
    web.trust.delete(west.authority.trustDomain);
    assert.throws(
      () => web.tls.clientTlsOptions(west.authority.trustDomain),
      (error) => hasCode(error, "TRUST_DOMAIN_UNKNOWN"),
    );
  });

  it("says that its own certificate has expired", async () => {
    const clock = new ManualClock(Date.now());
    const ended = new AbortController();
    const old = await east.workload(web.identity, [], clock, ended.signal);
    ended.abort();
    await clock.advance(25 * 3_600_000);
    const expired = (error: unknown) => hasCode(error, "CERTIFICATE_EXPIRED") && error instanceof MeshError;
    assert.throws(() => old.tls.serverTlsOptions(), expired);
    assert.throws(() => old.tls.clientTlsOptions(east.authority.trustDomain), expired);
  });
});

/** PEM of a certificate for `identity` from an authority that lies about its trust domain. */
async function createForged(
  authority: TestMesh["authority"],
  identity: Identity,
): Promise<{ cert: string; key: string }> {
  const { privateKey, csrDer } = await createCsr(identity);
  const chain = issueLeaf(authority, parseCsr(csrDer), Date.now());
  return { cert: pemOf(chain), key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}
