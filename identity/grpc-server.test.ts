import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect, createSecureContext, type TLSSocket } from "node:tls";
import {
  type ChannelCredentials,
  Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { systemClock } from "../core/clock.ts";
import { hasCode, MeshError, type MeshErrorCode } from "../core/errors.ts";
import type { Identity } from "../core/identity.ts";
import { silentLog } from "../core/log.ts";
import type { IdentityClient } from "../protos/gen/causeway/identity/v1/Identity.ts";
import { loadIdentity } from "../protos/load.ts";
import { eventually } from "../test/support/eventually.ts";
import { createTestMesh, type TestMesh, type TestWorkload } from "../test/support/mesh-identity.ts";
import { OpenSsl } from "../test/support/openssl.ts";
import { rootFingerprint } from "./certificate.ts";
import {
  GRPC_CLIENT_OPTIONS,
  grpcChannelCredentials,
  type SpiffeChannelCredentials,
  serverAuthChannelCredentials,
} from "./grpc-channel.ts";
import { type GrpcListener, type GrpcServerOptions, listenGrpc } from "./grpc-server.ts";
import { grpcStatusOf, meshErrorOf } from "./grpc-status.ts";
import { pinnedRoot } from "./pinned-root.ts";
import { TrustStore } from "./trust-store.ts";

const CERTIFY = "/causeway.identity.v1.Identity/Certify";

describe("listenGrpc()", () => {
  let east: TestMesh;
  let west: TestMesh;
  let control: TestWorkload;
  let caller: TestWorkload;
  let stop: AbortController;
  let undo: (() => unknown)[];
  /** Who called, as the service saw it. */
  let seen: (Identity | undefined)[];
  let streamsEnded: number;
  /** What Certify answers with, if with an error. */
  let broken: Error | undefined;

  before(async () => {
    east = await createTestMesh("east", Date.now());
    west = await createTestMesh("west", Date.now());
  });
  beforeEach(async () => {
    stop = new AbortController();
    undo = [];
    seen = [];
    streamsEnded = 0;
    broken = undefined;
    control = await east.workload(
      east.identity("system", "control"),
      [west.authority.bundle],
      systemClock,
      stop.signal,
    );
    caller = await west.workload(west.identity("shop", "web"), [east.authority.bundle], systemClock, stop.signal);
  });
  afterEach(async () => {
    for (const run of undo.reverse()) await run();
    stop.abort();
  });

  async function listen(more: Partial<GrpcServerOptions> = {}): Promise<GrpcListener> {
    const { source, trust } = control;
    const listener = await listenGrpc({
      host: "127.0.0.1",
      port: 0,
      source,
      trust,
      clock: systemClock,
      log: silentLog,
      services(server, peerOf) {
        server.addService(loadIdentity().Identity.service, {
          Certify(call: ServerUnaryCall<unknown, object>, callback: sendUnaryData<object>) {
            seen.push(peerOf(call));
            if (broken === undefined) callback(null, { notAfterMs: 7 });
            else callback(grpcStatusOf(broken));
          },
          WatchTrust(call: ServerWritableStream<unknown, object>) {
            seen.push(peerOf(call));
            call.on("cancelled", () => streamsEnded++);
            call.write({ bundles: [] });
          },
        });
      },
      ...more,
    });
    undo.push(() => listener.close(0));
    return listener;
  }

  function client(listener: GrpcListener, credentials: ChannelCredentials): IdentityClient {
    const it = new (loadIdentity().Identity)(`dns:127.0.0.1:${listener.port}`, credentials, GRPC_CLIENT_OPTIONS);
    undo.push(() => it.close());
    return it;
  }

  const mutual = (workload: TestWorkload, expected: Identity = control.identity): SpiffeChannelCredentials =>
    grpcChannelCredentials({
      tls: workload.tls,
      trustDomain: east.authority.trustDomain,
      expected,
      clock: systemClock,
    });

  const anonymous = (expected: Identity = control.identity): SpiffeChannelCredentials => {
    const { trustDomain, bundle } = east.authority;
    return serverAuthChannelCredentials({ trust: new TrustStore([bundle]), trustDomain, expected, clock: systemClock });
  };

  function certify(it: IdentityClient): Promise<string> {
    return new Promise((resolve, reject) => {
      it.Certify({}, new Metadata(), { deadline: Date.now() + 10_000 }, (error, answer) => {
        if (error !== null) reject(error);
        else resolve(answer?.notAfterMs ?? "");
      });
    });
  }

  async function failure(call: Promise<unknown>, credentials?: SpiffeChannelCredentials): Promise<MeshError> {
    const error = await call.then(
      () => assert.fail("the call went through"),
      (reason: ServiceError) => reason,
    );
    return meshErrorOf(error, "call", credentials?.lastFailure);
  }

  const failsWith = async (code: MeshErrorCode, call: Promise<unknown>, credentials?: SpiffeChannelCredentials) =>
    assert.equal((await failure(call, credentials)).code, code);

  it("shows a service who calls, across trust domains", async () => {
    const listener = await listen();
    assert.equal(await certify(client(listener, mutual(caller))), "7");
    assert.deepEqual(seen, [caller.identity]);
  });

  it("lets callers without a certificate call what is open to them, and nothing else", async () => {
    const listener = await listen({ anonymousMethods: [CERTIFY] });
    const it = client(listener, anonymous());
    assert.equal(await certify(it), "7");
    const [error] = (await once(it.WatchTrust({}), "error")) as [ServiceError];
    assert.equal(error.code, status.UNAUTHENTICATED);
    assert.deepEqual(seen, [undefined]);
  });

  it("lets nobody in without a certificate where nothing is open", async () => {
    const listener = await listen();
    await failsWith("STREAM_CLOSED", certify(client(listener, anonymous())));
    assert.deepEqual(seen, []);
  });

  it("is refused by a client that expects someone else, or another trust domain", async () => {
    const listener = await listen({ anonymousMethods: [CERTIFY] });
    for (const credentials of [
      mutual(caller, east.identity("system", "gateway")),
      anonymous(west.identity("a", "b")),
    ]) {
      await failsWith("IDENTITY_UNEXPECTED", certify(client(listener, credentials)), credentials);
    }
    const { trustDomain } = west.authority;
    const elsewhere = grpcChannelCredentials({
      tls: caller.tls,
      trustDomain,
      expected: () => true,
      clock: systemClock,
    });
    await failsWith("TLS_HANDSHAKE", certify(client(listener, elsewhere)), elsewhere);
    assert.deepEqual(seen, []);
  });

  it("refuses a caller whose certificate another domain's CA signed, and one of an unknown domain", async () => {
    const listener = await listen({ anonymousMethods: [CERTIFY] });
    const forged = await createTestMesh("east", Date.now());
    const liar = await forged.workload(east.identity("system", "admin"), [], systemClock, stop.signal);
    const credentials = grpcChannelCredentials({
      tls: liar.tls,
      trustDomain: east.authority.trustDomain,
      expected: () => true,
      clock: systemClock,
    });
    liar.trust.set({ ...east.authority.bundle, sequence: 2n });
    await failsWith("STREAM_CLOSED", certify(client(listener, credentials)));
    assert.deepEqual(seen, []);
  });

  it("cuts a caller off when its trust domain is no longer believed, and lets it back with the bundle", async () => {
    const listener = await listen();
    const it = client(listener, mutual(caller));
    const stream = it.WatchTrust({});
    const ended = once(stream, "error");
    await once(stream, "data");
    control.trust.delete(west.authority.trustDomain);
    await ended;
    await eventually(() => streamsEnded === 1);
    await failsWith("STREAM_CLOSED", certify(it));
    control.trust.set(west.authority.bundle);
    assert.equal(await eventually(() => certify(it).catch(() => undefined)), "7");
  });

  it("presents a renewed certificate and believes a new root without a restart or a lost stream", async () => {
    const listener = await listen();
    const stream = client(listener, mutual(caller)).WatchTrust({});
    await once(stream, "data");
    const north = await createTestMesh("north", Date.now());
    const newcomer = await north.workload(
      north.identity("shop", "web"),
      [east.authority.bundle],
      systemClock,
      stop.signal,
    );
    await failsWith("STREAM_CLOSED", certify(client(listener, mutual(newcomer))));
    control.trust.set(north.authority.bundle);
    assert.equal(await certify(client(listener, mutual(newcomer))), "7");
    assert.deepEqual(seen, [caller.identity, newcomer.identity]);
    assert.equal(streamsEnded, 0);
    stream.on("error", () => {});
    stream.cancel();
  });

  it("tells the code of a MeshError, and nothing of a bug", async () => {
    const it = client(await listen(), mutual(caller));
    broken = new MeshError("BUNDLE_STALE", "Cannot take bundle: old.");
    const { code, message } = await failure(certify(it));
    assert.deepEqual([code, message], ["BUNDLE_STALE", "Cannot take bundle: old."]);
    broken = new Error("secret bug");
    const bug = await failure(certify(it));
    assert.equal(bug.code, "INTERNAL");
    assert.ok(!bug.message.includes("secret"));
  });

  it("drops a connection that does not shake hands in time", async () => {
    const listener = await listen({ limits: { handshakeMs: 50 } });
    const socket = connectTcp(listener.port, "127.0.0.1");
    socket.on("error", () => {}).resume();
    await once(socket, "close");
  });

  it("drops a caller without a certificate that stays, or is one too many", async () => {
    const listener = await listen({ anonymousMethods: [CERTIFY], limits: { anonymousMs: 100, maxAnonymous: 1 } });
    const dial = (): TLSSocket => {
      const ca = control.tls.serverTlsOptions().ca;
      const secureContext = createSecureContext(ca === undefined ? {} : { ca });
      const options = { host: "127.0.0.1", port: listener.port, secureContext, ALPNProtocols: ["h2"] };
      const socket = connect({ ...options, checkServerIdentity: () => undefined });
      socket.on("error", () => {}).resume();
      undo.push(() => socket.destroy());
      return socket;
    };
    const [first, second] = [dial(), dial()];
    await Promise.all([once(first, "close"), once(second, "close")]);
  });

  it("close() lets a stream end, then drops it", async () => {
    const listener = await listen();
    const stream = client(listener, mutual(caller)).WatchTrust({});
    await once(stream, "data");
    const error = once(stream, "error");
    await listener.close(20);
    await error;
    assert.equal(streamsEnded, 1);
  });

  it("throws PORT_IN_USE for a port that is taken", async () => {
    const { port } = await listen();
    await assert.rejects(listen({ port }), (error) => hasCode(error, "PORT_IN_USE"));
  });

  describe("and pinnedRoot()", () => {
    it("returns the root that was pinned, though no root is known yet", async () => {
      const listener = await listen({ presentRoot: true, anonymousMethods: [CERTIFY] });
      const pin = rootFingerprint(east.root.certificate.raw);
      const found = await pinnedRoot("127.0.0.1", listener.port, pin, systemClock, stop.signal);
      assert.ok(east.root.certificate.raw.equals(found.rootDer));
      assert.equal(found.identity, control.identity);
      assert.equal(found.bundle.trustDomain, east.authority.trustDomain);
    });

    it("throws PIN_MISMATCH for another root, and for one that is not shown", async () => {
      const shown = await listen({ presentRoot: true, anonymousMethods: [CERTIFY] });
      const hidden = await listen({ anonymousMethods: [CERTIFY] });
      const mismatch = (error: unknown) => hasCode(error, "PIN_MISMATCH");
      const pins = [rootFingerprint(west.root.certificate.raw), rootFingerprint(east.root.certificate.raw)] as const;
      await assert.rejects(pinnedRoot("127.0.0.1", shown.port, pins[0], systemClock, stop.signal), mismatch);
      await assert.rejects(pinnedRoot("127.0.0.1", hidden.port, pins[1], systemClock, stop.signal), mismatch);
    });

    it("throws for a port where nobody listens, and when it is cancelled", async () => {
      const listener = await listen();
      await listener.close(0);
      const pin = rootFingerprint(east.root.certificate.raw);
      const nobody = pinnedRoot("127.0.0.1", listener.port, pin, systemClock, stop.signal);
      await assert.rejects(nobody, (error) => hasCode(error, "TLS_HANDSHAKE"));
      const cancelled = pinnedRoot("127.0.0.1", listener.port, pin, systemClock, AbortSignal.abort());
      await assert.rejects(cancelled, (error) => hasCode(error, "ABORTED"));
    });
  });

  it("shows openssl s_client its whole chain, root included, where it was asked to", async () => {
    using openssl = new OpenSsl();
    const listener = await listen({ presentRoot: true, anonymousMethods: [CERTIFY] });
    openssl.write("root.pem", east.root.certificate.toString());
    const args = [
      "s_client",
      "-connect",
      `127.0.0.1:${listener.port}`,
      "-CAfile",
      "root.pem",
      "-alpn",
      "h2",
      "-showcerts",
    ];
    const run = spawn("openssl", args, { cwd: openssl.directory, stdio: ["ignore", "pipe", "ignore"] });
    let text = "";
    for await (const part of run.stdout) text += String(part);
    assert.match(text, /Verify return code: 0 \(ok\)/);
    assert.match(text, /New, TLSv1\.3/);
    assert.equal(text.match(/BEGIN CERTIFICATE/g)?.length, 3);
  });
});
