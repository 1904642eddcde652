import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCode, type MeshError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import { createTestAuthority, type TestAuthority } from "../test/support/openssl-certificates.ts";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import { createTransport } from "./create-transport.ts";
import { MuxConnection } from "./mux/mux-connection.ts";
import { MuxContext } from "./mux/mux-context.ts";
import { type DialMux, MuxPool } from "./mux/mux-pool.ts";
import { createPair } from "./pair-stream.ts";
import type { Listener, TlsSettings, Transport } from "./transport.ts";

/** A user that remembers what happened, and wakes whoever waits for it. */
export class Recorder implements ByteStreamUser {
  readonly events: string[] = [];
  bytes = 0;
  ended = false;
  drains = 0;
  closed = false;
  error: Error | undefined = undefined;
  keep = true;
  onBytes: (buffer: Buffer, length: number) => void = () => {};
  readonly hash = createHash("sha256");
  readonly #chunks: Buffer[] = [];
  #waiters: { met: () => boolean; wake: () => void }[] = [];

  get text(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  onRead(buffer: Buffer, length: number): void {
    assert.equal(this.closed, false, "onRead after onClose");
    this.bytes += length;
    if (this.keep) this.#chunks.push(Buffer.from(buffer.subarray(0, length)));
    else this.hash.update(buffer.subarray(0, length));
    this.events.push("read");
    this.onBytes(buffer, length);
    this.#wake();
  }

  onEnd(): void {
    this.ended = true;
    this.events.push("end");
    this.#wake();
  }

  onDrain(): void {
    this.drains++;
    this.events.push("drain");
    this.#wake();
  }

  onClose(error: Error | undefined): void {
    assert.equal(this.closed, false, "onClose twice");
    this.closed = true;
    this.error = error;
    this.events.push("close");
    this.#wake();
  }

  /** Resolves once `met()` holds; checked at every callback. */
  until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((wake) => this.#waiters.push({ met, wake }));
  }

  #wake(): void {
    const ready = this.#waiters.filter((waiter) => waiter.met());
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter));
    for (const { wake } of ready) wake();
  }
}

export interface End {
  readonly stream: ByteStream;
  readonly user: Recorder;
}

/** `pair`: within the process, without a socket. */
export type Variant = "tcp" | "unix" | "tls" | "pair";

class Bench {
  readonly transport: Transport;
  readonly listener: Listener;
  readonly #connect: (user: Recorder) => Promise<ByteStream>;
  readonly #accepted: End[];
  readonly #waiting: ((end: End) => void)[];
  readonly #opened: ByteStream[] = [];
  readonly #pool: MuxPool<undefined> | undefined;

  constructor(
    transport: Transport,
    listener: Listener,
    connect: (user: Recorder) => Promise<ByteStream>,
    accepted: End[],
    waiting: ((end: End) => void)[],
    pool: MuxPool<undefined> | undefined,
  ) {
    this.#pool = pool;
    this.transport = transport;
    this.listener = listener;
    this.#connect = connect;
    this.#accepted = accepted;
    this.#waiting = waiting;
  }

  /** A connected pair. */
  async pair(): Promise<{ client: End; server: End }> {
    const user = new Recorder();
    const stream = await this.#connect(user);
    const server = this.#accepted.shift() ?? (await new Promise<End>((resolve) => this.#waiting.push(resolve)));
    this.#opened.push(stream, server.stream);
    return { client: { stream, user }, server };
  }

  async close(): Promise<void> {
    for (const stream of this.#opened) stream.destroy();
    this.#pool?.destroy();
    await this.listener.close();
  }
}

type Dial = (onConnect: (stream: ByteStream) => ByteStreamUser, onFailure: (error: Error) => void) => void;

/** `shared`: all pairs are streams of multiplexed connections. */
async function open(
  transport: Transport,
  variant: Variant,
  shared: boolean,
  directory: string,
  authority: TestAuthority,
): Promise<Bench> {
  const accepted: End[] = [];
  const waiting: ((end: End) => void)[] = [];
  const context = new MuxContext({ wheel: transport.wheel, log: silentLog });
  const onAccepted = (stream: ByteStream) => {
    const end = { stream, user: new Recorder() };
    const waiter = waiting.shift();
    if (waiter !== undefined) waiter(end);
    else accepted.push(end);
    return end.user;
  };
  const onStream = shared
    ? (stream: ByteStream) =>
        new MuxConnection(context, stream, false, { onStream: onAccepted, onChange() {}, onGone() {} })
    : onAccepted;
  let listener: Listener;
  let dial: Dial;
  if (variant === "tls") {
    const settings: TlsSettings = {
      ca: authority.ca,
      ...authority.issue("a.test"),
      requestCert: true,
      minVersion: "TLSv1.3",
    };
    const verify = () => undefined;
    const tls = { alpn: ["test/1"], verify };
    listener = await transport.listenTls({ host: "127.0.0.1", port: 0, settings: () => settings, ...tls }, onStream);
    const where = { host: "127.0.0.1", port: listener.port, timeoutMs: 10_000 };
    const options = { ...where, ...tls, settings, servername: "a.test", sessionKey: "test" };
    dial = (onConnect, onFailure) => transport.connectTls(options, onConnect, onFailure);
  } else if (variant === "pair") {
    const connected = new Set<ByteStream>();
    const addresses = [
      { address: "127.0.0.1", port: 1 },
      { address: "127.0.0.1", port: 2 },
    ] as const;
    listener = {
      port: 2,
      get connections() {
        for (const stream of connected) if (stream.closed) connected.delete(stream);
        return connected.size;
      },
      close: () => Promise.resolve(),
    };
    dial = (onConnect) => {
      const [here, there] = createPair({ log: silentLog, maxPendingBytes: 4 * 1024 * 1024, addresses });
      connected.add(there);
      there.user = onStream(there);
      here.user = onConnect(here);
    };
  } else {
    const path = join(directory, "socket");
    listener = await transport.listenTcp(variant === "unix" ? { path } : { host: "127.0.0.1", port: 0 }, onStream);
    const target = variant === "unix" ? { path } : { host: "127.0.0.1", port: listener.port };
    dial = (onConnect, onFailure) => transport.connectTcp({ ...target, timeoutMs: 10_000 }, onConnect, onFailure);
  }
  const pool = shared ? new MuxPool<undefined>(context) : undefined;
  const dialMux: DialMux<undefined> = (onConnect, onFailure) => {
    dial(onConnect, (error) => onFailure(error as MeshError, undefined));
    return () => {};
  };
  const connect = (user: Recorder) =>
    new Promise<ByteStream>((resolve, reject) => {
      if (pool === undefined) {
        dial((stream) => taken(stream, resolve, user), reject);
        return;
      }
      pool.open(
        dialMux,
        (stream) => {
          stream.user = taken(stream, resolve, user);
        },
        reject,
      );
    });
  return new Bench(transport, listener, connect, accepted, waiting, pool);
}

function taken(stream: ByteStream, resolve: (stream: ByteStream) => void, user: Recorder): Recorder {
  resolve(stream);
  return user;
}

function send(stream: ByteStream, text: string): boolean {
  return stream.write(Buffer.from(text), 0, Buffer.byteLength(text));
}

/** Writes `total` bytes of a pattern, heeding backpressure, then ends. Returns their SHA-256. */
async function pour({ stream, user }: End, total: number, chunkBytes: number): Promise<string> {
  const hash = createHash("sha256");
  const chunk = Buffer.alloc(chunkBytes);
  for (let sent = 0, round = 0; sent < total; sent += chunkBytes, round++) {
    chunk.writeUInt32BE(round, 0);
    hash.update(chunk);
    const drains = user.drains;
    if (!stream.write(chunk, 0, chunkBytes)) await user.until(() => user.drains > drains || user.closed);
    // The bytes were taken: the buffer is ours again.
    chunk.fill(round & 0xff);
  }
  stream.end();
  return hash.digest("hex");
}

/** The contract of ByteStream, on one adapter and one kind of connection; `shared`: many to one connection. */
export function byteStreamContract(adapter: "handle" | "net", variant: Variant, shared = false): void {
  describe(`ByteStream: ${shared ? "multiplexed, " : ""}${variant === "pair" ? "within the process" : `${adapter} adapter over ${variant}`}`, () => {
    let directory: string;
    let authority: TestAuthority;
    let bench: Bench;

    before(async () => {
      directory = mkdtempSync(join(tmpdir(), "causeway-stream-"));
      authority = createTestAuthority();
      const transport = await createTransport({ adapter, log: silentLog });
      bench = await open(transport, variant, shared, directory, authority);
    });

    after(async () => {
      await bench.close();
      authority.remove();
      rmSync(directory, { recursive: true, force: true });
    });

    it("carries bytes in order, both ways", async () => {
      const { client, server } = await bench.pair();
      for (let i = 0; i < 500; i++) send(client.stream, `c${i};`);
      for (let i = 0; i < 500; i++) send(server.stream, `s${i};`);
      const expected = (side: string) => Array.from({ length: 500 }, (_, i) => `${side}${i};`).join("");
      await server.user.until(() => server.user.bytes === expected("c").length);
      await client.user.until(() => client.user.bytes === expected("s").length);
      assert.equal(server.user.text, expected("c"));
      assert.equal(client.user.text, expected("s"));
    });

    it("half-closes: the other direction goes on, and both ended close in order", async () => {
      const { client, server } = await bench.pair();
      send(client.stream, "question");
      client.stream.end();
      await server.user.until(() => server.user.ended);
      assert.equal(server.user.text, "question");
      send(server.stream, "answer");
      server.stream.end();
      await client.user.until(() => client.user.closed);
      await server.user.until(() => server.user.closed);
      assert.equal(client.user.text, "answer");
      assert.equal(client.user.error, undefined);
      assert.equal(server.user.error, undefined);
      assert.equal(client.user.events.filter((event) => event === "end").length, 1);
      assert.equal(client.stream.closed, true);
    });

    it("half-closes from the accepting side too", async () => {
      const { client, server } = await bench.pair();
      server.stream.end();
      await client.user.until(() => client.user.ended);
      send(client.stream, "still here");
      await server.user.until(() => server.user.bytes === 10);
      client.stream.end();
      await server.user.until(() => server.user.closed);
    });

    it("delivers data that came with the FIN before onEnd", async () => {
      const { client, server } = await bench.pair();
      send(client.stream, "last words");
      client.stream.end();
      await server.user.until(() => server.user.ended);
      assert.deepEqual(server.user.text, "last words");
      assert.equal(server.user.events.at(-1), "end");
    });

    it("destroy() closes without an error, from outside the call, once", async () => {
      const { client, server } = await bench.pair();
      client.stream.destroy();
      assert.equal(client.stream.closed, true);
      assert.equal(client.user.closed, false);
      client.stream.destroy(new Error("too late"));
      await client.user.until(() => client.user.closed);
      assert.equal(client.user.error, undefined);
      await server.user.until(() => server.user.ended || server.user.closed);
    });

    it("destroy() with reset is seen as STREAM_CLOSED where the socket can reset", async () => {
      const { client, server } = await bench.pair();
      client.stream.destroy(undefined, true);
      await server.user.until(() => server.user.closed || server.user.ended);
      if (variant === "tcp" || variant === "pair" || shared) assert.ok(hasCode(server.user.error, "STREAM_CLOSED"));
    });

    it("write() after a close or an end does nothing", async () => {
      const { client, server } = await bench.pair();
      client.stream.end();
      assert.equal(send(client.stream, "late"), true);
      await server.user.until(() => server.user.ended);
      client.stream.destroy();
      assert.equal(send(client.stream, "later"), true);
      assert.equal(client.stream.pendingBytes, 0);
      client.stream.pause();
      client.stream.resume();
      client.stream.end();
      await client.user.until(() => client.user.closed);
      assert.equal(server.user.bytes, 0);
    });

    it("pause() stops onRead at once, resume() goes on where it was", async () => {
      const { client, server } = await bench.pair();
      let paused = false;
      server.user.onBytes = () => {
        assert.equal(paused, false, "read while paused");
        paused = true;
        server.stream.pause();
        setImmediate(() => {
          paused = false;
          server.stream.resume();
        });
      };
      const sent = await pour(client, 1_000_000, 10_000);
      await server.user.until(() => server.user.ended);
      assert.equal(createHash("sha256").update(Buffer.from(server.user.text, "latin1")).digest("hex"), sent);
    });

    it("tells a fast writer to stop and wakes it when the reader catches up", async () => {
      const { client, server } = await bench.pair();
      server.stream.pause();
      const chunk = Buffer.alloc(65_536, 1);
      let accepted = 0;
      while (client.stream.write(chunk, 0, chunk.length) && accepted < 1000) accepted++;
      assert.ok(accepted < 1000, "never said stop");
      assert.ok(client.stream.pendingBytes > 0);
      assert.ok(client.stream.pendingBytes <= 4 * chunk.length);
      server.user.keep = false;
      server.stream.resume();
      await client.user.until(() => client.user.drains === 1);
      assert.equal(client.stream.pendingBytes, 0);
    });

    it("destroys with LIMIT_EXCEEDED a stream whose writer does not heed false", async () => {
      const { client, server } = await bench.pair();
      server.stream.pause();
      const chunk = Buffer.alloc(1 << 20, 1);
      for (let i = 0; i < 64 && !client.stream.closed; i++) client.stream.write(chunk, 0, chunk.length);
      await client.user.until(() => client.user.closed);
      assert.ok(hasCode(client.user.error, "LIMIT_EXCEEDED"));
    });

    it("carries 100 MB unchanged, with bounded memory", async function () {
      this.timeout(60_000);
      const { client, server } = await bench.pair();
      server.user.keep = false;
      server.stream.maxReadBytes = 262_144;
      global.gc?.();
      const beforeBytes = process.memoryUsage().rss;
      const sent = await pour(client, 100 * 1024 * 1024, 128 * 1024);
      await server.user.until(() => server.user.ended);
      assert.equal(server.user.bytes, 100 * 1024 * 1024);
      assert.equal(server.user.hash.digest("hex"), sent);
      assert.ok(process.memoryUsage().rss - beforeBytes < 90 * 1024 * 1024);
    });

    it("takes one write larger than any buffer", async () => {
      const { client, server } = await bench.pair();
      const big = Buffer.alloc(3_000_001, "7");
      client.stream.write(big, 0, big.length);
      big.fill("8");
      client.stream.end();
      await server.user.until(() => server.user.ended);
      assert.equal(server.user.bytes, 3_000_001);
      assert.equal(server.user.text.replaceAll("7", ""), "");
    });

    it("writes from the scratch without losing what was written before", async () => {
      const { client, server } = await bench.pair();
      server.stream.pause();
      const lines: string[] = [];
      for (let i = 0; i < 3000; i++) {
        const line = `${String(i).padStart(6, "0")}${"x".repeat(994)}`;
        lines.push(line);
        const { scratch } = bench.transport;
        const length = scratch.write(line, "latin1");
        client.stream.write(scratch, 0, length);
      }
      client.stream.end();
      server.stream.resume();
      await server.user.until(() => server.user.ended);
      assert.equal(server.user.text, lines.join(""));
    });

    it("relays what onRead brings, bulk included, to another stream", async () => {
      const a = await bench.pair();
      const b = await bench.pair();
      a.server.stream.maxReadBytes = 262_144;
      a.server.user.keep = false;
      b.server.user.keep = false;
      a.server.user.onBytes = (buffer, length) => {
        if (!b.client.stream.write(buffer, 0, length)) a.server.stream.pause();
      };
      b.client.user.onDrain = () => a.server.stream.resume();
      a.server.user.onEnd = () => b.client.stream.end();
      const sent = await pour(a.client, 32 * 1024 * 1024, 128 * 1024);
      await b.server.user.until(() => b.server.user.ended);
      assert.equal(b.server.user.hash.digest("hex"), sent);
    });

    it("lets the user be replaced between reads", async () => {
      const { client, server } = await bench.pair();
      send(client.stream, "first");
      await server.user.until(() => server.user.bytes === 5);
      const second = new Recorder();
      server.stream.user = second;
      send(client.stream, "second");
      client.stream.end();
      await second.until(() => second.ended);
      assert.equal(server.user.text, "first");
      assert.equal(second.text, "second");
    });

    it("survives a destroy() from within every callback", async () => {
      for (const callback of ["onBytes", "onEnd", "onDrain"] as const) {
        const { client, server } = await bench.pair();
        server.user[callback] = () => server.stream.destroy();
        if (callback === "onDrain") {
          client.user.keep = false;
          client.stream.pause();
          const chunk = Buffer.alloc(65_536);
          while (server.stream.write(chunk, 0, chunk.length)) {}
          client.stream.resume();
        } else {
          send(client.stream, "x".repeat(100_000));
          client.stream.end();
        }
        await server.user.until(() => server.user.closed);
        await client.user.until(() => client.user.closed || client.user.ended);
        client.stream.destroy();
      }
    });

    it("a user that throws loses its own stream only", async () => {
      const healthy = await bench.pair();
      const { client, server } = await bench.pair();
      server.user.onBytes = () => {
        throw new Error("a bug above");
      };
      send(client.stream, "boom");
      await server.user.until(() => server.user.closed);
      assert.ok(hasCode(server.user.error, "INTERNAL"));
      send(healthy.client.stream, "fine");
      await healthy.server.user.until(() => healthy.server.user.text === "fine");
    });

    it("opens and closes many connections without keeping any", async function () {
      this.timeout(60_000);
      const total = variant === "tls" && !shared ? 100 : 1000;
      for (let done = 0; done < total; done += 50) {
        const pairs = await Promise.all(Array.from({ length: 50 }, () => bench.pair()));
        for (const { client } of pairs) {
          send(client.stream, "hi");
          client.stream.end();
        }
        for (const { server } of pairs) {
          await server.user.until(() => server.user.ended);
          server.stream.end();
        }
        for (const { client, server } of pairs) {
          await client.user.until(() => client.user.closed);
          await server.user.until(() => server.user.closed);
        }
      }
      assert.ok(bench.listener.connections <= 60, `${bench.listener.connections} still counted`);
    });

    it("names both ends", async () => {
      const { client, server } = await bench.pair();
      if (variant === "unix") {
        assert.equal(client.stream.remoteAddress, "");
        return;
      }
      assert.equal(client.stream.remoteAddress, "127.0.0.1");
      assert.equal(client.stream.remotePort, bench.listener.port);
      assert.equal(server.stream.localPort, bench.listener.port);
      assert.equal(server.stream.remotePort, client.stream.localPort);
    });
  });
}
