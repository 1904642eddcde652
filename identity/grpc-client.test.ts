import assert from "node:assert/strict";
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import { systemClock } from "../core/clock.ts";
import { hasCode, MeshError, type MeshErrorCode } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import type { CertifyRequest__Output } from "../protos/gen/causeway/identity/v1/CertifyRequest.ts";
import type { CertifyResponse__Output } from "../protos/gen/causeway/identity/v1/CertifyResponse.ts";
import type { TrustState__Output } from "../protos/gen/causeway/identity/v1/TrustState.ts";
import { CERTIFY, WATCH_TRUST } from "../protos/gen/tables/identity.ts";
import { loadIdentity } from "../protos/load.ts";
import { eventually } from "../test/support/eventually.ts";
import { createTestMesh, type TestMesh, type TestWorkload } from "../test/support/mesh-identity.ts";
import { GrpcClient, type GrpcClientTimes } from "./grpc-client.ts";
import { frameOf } from "./grpc-frames.ts";
import { type GrpcListener, listenGrpc } from "./grpc-server.ts";
import { grpcStatusOf } from "./grpc-status.ts";
import { mutualDialer } from "./spiffe-dialer.ts";

type Certify = (call: ServerUnaryCall<CertifyRequest__Output, object>, callback: sendUnaryData<object>) => void;

describe("GrpcClient", () => {
  let east: TestMesh;
  let control: TestWorkload;
  let caller: TestWorkload;
  let stop: AbortController;
  let undo: (() => unknown)[];

  before(async () => {
    east = await createTestMesh("east", Date.now());
  });
  beforeEach(async () => {
    stop = new AbortController();
    undo = [];
    control = await east.workload(east.identity("system", "control"), [], systemClock, stop.signal);
    caller = await east.workload(east.identity("shop", "web"), [], systemClock, stop.signal);
  });
  afterEach(async () => {
    for (const step of undo.reverse()) await step();
    stop.abort();
  });

  /** A server on grpc-js. */
  async function listen(
    certify: Certify,
    watch: (call: ServerWritableStream<object, object>) => void = () => {},
    port = 0,
  ): Promise<GrpcListener> {
    const { source, trust } = control;
    const listener = await listenGrpc({
      ...{ host: "127.0.0.1", port, source, trust, clock: systemClock, log: silentLog },
      services: (server) => server.addService(loadIdentity().Identity.service, { Certify: certify, WatchTrust: watch }),
    });
    undo.push(() => listener.close(0));
    return listener;
  }

  function client(
    port: number | readonly [number, ...number[]],
    times: Partial<GrpcClientTimes> = {},
    expected = control.identity,
  ): GrpcClient {
    const dialer = mutualDialer({ tls: caller.tls, trustDomain: east.authority.trustDomain, expected });
    const [first, ...others] = typeof port === "number" ? [port] : port;
    const address = (at: number) => `127.0.0.1:${at}`;
    const it = new GrpcClient({
      addresses: [address(first), ...others.map(address)],
      dialer,
      clock: systemClock,
      times,
    });
    undo.push(() => it.close());
    return it;
  }

  /** A server that does what a broken one might, on streams of HTTP/2 over the same TLS. */
  async function listenRaw(serve: (stream: ServerHttp2Stream) => void): Promise<number> {
    const { ca, cert, key } = control.tls.serverTlsOptions();
    const options = { minVersion: "TLSv1.3", requestCert: true } as const;
    const server: Http2SecureServer = createSecureServer({
      ...options,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
    server.on("sessionError", () => {});
    server.on("stream", (stream) => {
      stream.on("error", () => {});
      serve(stream);
    });
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => sockets.add(socket));
    await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
    undo.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    });
    return (server.address() as AddressInfo).port;
  }

  const ask = (
    it: GrpcClient,
    token = "t",
    deadlineMs = 10_000,
    signal = stop.signal,
  ): Promise<CertifyResponse__Output> =>
    it.unary(CERTIFY, { csr: Buffer.from("csr"), token }, "ask", deadlineMs, signal);
  const failsWith = (code: MeshErrorCode, call: Promise<unknown>) =>
    assert.rejects(call, (error) => hasCode(error, code) || assert.fail(String(error)));

  /** All that a watch hears, and how it ended. */
  function watch(it: GrpcClient) {
    const states: TrustState__Output[] = [];
    const ends: (MeshError | undefined)[] = [];
    const listener = {
      onMessage: (s: TrustState__Output) => states.push(s),
      onEnd: (e: MeshError | undefined) => ends.push(e),
    };
    const call = it.open(WATCH_TRUST, "watch", { ...listener, onMessage: (state) => void listener.onMessage(state) });
    call.send({});
    call.end();
    return { call, states, ends };
  }

  it("asks another replica when one has gone, stays with it, and comes back when that one goes", async () => {
    const answers = (name: number): Certify => {
      return (_call, callback) => callback(null, { chain: [], notAfterMs: name, trust: { bundles: [] } });
    };
    const first = await listen(answers(1));
    const second = await listen(answers(2));
    const it = client([first.port, second.port]);
    const who = async () => Number((await ask(it)).notAfterMs);
    assert.equal(await who(), 1);
    const watching = watch(it);
    await first.close(0);
    await eventually(() => watching.ends.length === 1);
    assert.equal(await who(), 2);
    const again = await listen(answers(3), undefined, first.port);
    assert.equal(await who(), 2);
    await second.close(0);
    await eventually(async () => (await who()) === 3);
    await again.close(0);
    await failsWith("STREAM_CLOSED", ask(it));
  });

  it("asks a server of grpc-js, many times over one connection", async () => {
    let connections = 0;
    const seen: [string, string][] = [];
    const listener = await listen(({ request }, callback) => {
      seen.push([request.csr.toString(), request.token]);
      callback(null, { chain: [Buffer.alloc(70_000, 1)], notAfterMs: 7, trust: { bundles: [] } });
    });
    const relay = createServer((socket) => {
      connections++;
      const on = connect(listener.port, "127.0.0.1");
      socket.pipe(on).pipe(socket);
      for (const end of [socket, on]) end.on("error", () => {});
    });
    await new Promise<void>((resolve) => relay.listen({ host: "127.0.0.1", port: 0 }, resolve));
    undo.push(() => relay.close());
    const it = client((relay.address() as AddressInfo).port);
    const answers = await Promise.all(["a", "b", "c"].map((token) => ask(it, token)));
    for (const answer of answers) {
      assert.deepEqual(answer, { chain: [Buffer.alloc(70_000, 1)], notAfterMs: "7", trust: { bundles: [] } });
    }
    assert.deepEqual(
      seen.sort(),
      ["a", "b", "c"].map((token) => ["csr", token]),
    );
    assert.equal(connections, 1);
    it.close();
  });

  it("throws the server's own code and text, and PROTOCOL_VIOLATION for other statuses", async () => {
    let answer: object = grpcStatusOf(new MeshError("SA_TOKEN_REFUSED", "Cannot certify: 100 % no."));
    const it = client((await listen((_call, callback) => callback(answer))).port);
    await assert.rejects(ask(it), { code: "SA_TOKEN_REFUSED", message: "Cannot certify: 100 % no." });
    answer = { code: 12, details: "not here" };
    await assert.rejects(ask(it), { code: "PROTOCOL_VIOLATION", message: "Cannot ask: not here" });
    answer = { code: 14, details: "later" };
    await failsWith("STREAM_CLOSED", ask(it));
  });

  it("ends calls at their deadline and when they are cancelled, and tells the server", async () => {
    let seen = 0;
    let cancelled = 0;
    const listener = await listen((call) => {
      seen++;
      call.on("cancelled", () => cancelled++);
    });
    const it = client(listener.port);
    await failsWith("STREAM_CLOSED", ask(it, "t", 30));
    await failsWith("ABORTED", ask(it, "t", 10_000, AbortSignal.abort()));
    const before = seen;
    const abort = new AbortController();
    const asked = ask(it, "t", 10_000, abort.signal);
    asked.catch(() => {});
    await eventually(() => seen > before);
    abort.abort();
    await failsWith("ABORTED", asked);
    await eventually(() => cancelled > before);
  });

  it("hears a stream to its end, and dials again after the server was away", async () => {
    const calls: ServerWritableStream<object, object>[] = [];
    const serve = (call: ServerWritableStream<object, object>) => {
      calls.push(call);
      call.write({ bundles: [{ cluster: "a" }] });
      call.write({ bundles: [] });
    };
    const listener = await listen((_call, callback) => callback(null, {}), serve);
    const it = client(listener.port);
    const first = watch(it);
    await eventually(() => first.states.length === 2);
    assert.equal(first.states[0]?.bundles[0]?.cluster, "a");
    calls[0]?.end();
    await eventually(() => first.ends.length === 1);
    assert.equal(first.ends[0], undefined);
    const second = watch(it);
    await eventually(() => second.states.length === 2);
    await listener.close(0);
    await eventually(() => second.ends.length === 1);
    assert.equal(second.ends[0]?.code, "STREAM_CLOSED");
    await failsWith("STREAM_CLOSED", ask(it));
    await listen((_call, callback) => callback(null, { notAfterMs: 9 }), serve, listener.port);
    assert.equal((await ask(it)).notAfterMs, "9");
  });

  it("ends a call whose listener throws, with what it threw", async () => {
    const listener = await listen(
      () => {},
      (call) => call.write({ bundles: [] }),
    );
    const ended = new Promise<MeshError | undefined>((onEnd) => {
      const onMessage = () => {
        throw new MeshError("BUNDLE_STALE", "Cannot take it.");
      };
      const call = client(listener.port).open(WATCH_TRUST, "watch", { onMessage, onEnd });
      call.send({});
      call.end();
    });
    assert.equal((await ended)?.code, "BUNDLE_STALE");
  });

  it("refuses a server that is not who is expected, and asks it nothing", async () => {
    let asked = 0;
    const listener = await listen((_call, callback) => {
      asked++;
      callback(null, {});
    });
    await failsWith("IDENTITY_UNEXPECTED", ask(client(listener.port, {}, east.identity("system", "gateway"))));
    caller.trust.delete(east.authority.trustDomain);
    await failsWith("TRUST_DOMAIN_UNKNOWN", ask(client(listener.port)));
    assert.equal(asked, 0);
  });

  it("gives up a server that accepts and then says nothing, by keepalive", async () => {
    const sockets: Socket[] = [];
    let silent = false;
    const listener = await listen((_call, callback) => callback(null, {}));
    const relay = createServer((socket) => {
      const on = connect(listener.port, "127.0.0.1");
      sockets.push(socket, on);
      for (const end of [socket, on]) end.on("error", () => {});
      on.on("data", (data) => socket.write(data));
      socket.on("data", (data) => void (silent || on.write(data)));
    });
    await new Promise<void>((resolve) => relay.listen({ host: "127.0.0.1", port: 0 }, resolve));
    undo.push(
      () => relay.close(),
      () => sockets.map((socket) => socket.destroy()),
    );
    const it = client((relay.address() as AddressInfo).port, { keepaliveMs: 20, keepaliveAnswerMs: 100 });
    const watching = watch(it);
    await ask(it);
    silent = true;
    await eventually(() => watching.ends.length === 1);
    assert.equal(watching.ends[0]?.code, "STREAM_CLOSED");
  });

  it("gives up a server that does not shake hands, at the end of the deadline", async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket.on("error", () => {})));
    await new Promise<void>((resolve) => mute.listen({ host: "127.0.0.1", port: 0 }, resolve));
    undo.push(
      () => mute.close(),
      () => sockets.map((socket) => socket.destroy()),
    );
    await failsWith("STREAM_CLOSED", ask(client((mute.address() as AddressInfo).port), "t", 50));
  });

  it("refuses what is too long, compressed, cut short, no gRPC, or one answer too many", async () => {
    let serve: (stream: ServerHttp2Stream) => void = () => {};
    const it = client(await listenRaw((stream) => serve(stream)));
    const answer = (body: Buffer, trailers: Record<string, string> = { "grpc-status": "0" }) => {
      serve = (stream) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers(trailers));
        stream.end(body);
      };
    };
    const empty = frameOf(Buffer.alloc(0));
    answer(empty);
    assert.equal((await ask(it)).notAfterMs, "0");
    answer(Buffer.from([0, 0xff, 0, 0, 0]));
    await failsWith("LIMIT_EXCEEDED", ask(it));
    answer(Buffer.from([1, 0, 0, 0, 0]));
    await failsWith("PROTOCOL_VIOLATION", ask(it));
    answer(Buffer.from([0, 0, 0, 0, 9, 1]));
    await failsWith("PROTOCOL_VIOLATION", ask(it));
    answer(frameOf(Buffer.from([0x0a, 9])));
    await failsWith("PROTOCOL_VIOLATION", ask(it));
    answer(Buffer.concat([empty, empty]));
    await failsWith("PROTOCOL_VIOLATION", ask(it));
    answer(Buffer.alloc(0));
    await failsWith("PROTOCOL_VIOLATION", ask(it));
    answer(empty, {});
    await failsWith("STREAM_CLOSED", ask(it));
    answer(empty, { "grpc-status": "-1" });
    await failsWith("STREAM_CLOSED", ask(it));
    serve = (stream) => {
      stream.respond({ ":status": 404 });
      stream.end("nothing here");
    };
    await failsWith("PROTOCOL_VIOLATION", ask(it));
    serve = (stream) => stream.close(0xb);
    await failsWith("LIMIT_EXCEEDED", ask(it));
    serve = (stream) => stream.session?.goaway(0);
    const goneAway = ask(it, "t", 500);
    await failsWith("STREAM_CLOSED", goneAway);
    answer(empty);
    assert.equal((await ask(it)).notAfterMs, "0");
  });

  it("close() ends what is under way and takes no new calls", async () => {
    const it = client(
      (
        await listen(
          () => {},
          (call) => call.write({ bundles: [] }),
        )
      ).port,
    );
    const watching = watch(it);
    await eventually(() => watching.states.length === 1);
    const asked = ask(it);
    it.close();
    await failsWith("ABORTED", asked);
    assert.equal(watching.ends[0]?.code, "ABORTED");
    await failsWith("ABORTED", ask(it));
  });
});
