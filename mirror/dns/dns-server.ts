import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, isIP, type Server, type Socket } from "node:net";
import type { Clock } from "../../core/clock.ts";
import { asMeshError, errorText, MeshError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { SourceLimits, TokenBucket } from "../../core/token-bucket.ts";
import { MAX_QUERY_BYTES, respond } from "./message.ts";
import type { Zone } from "./zone.ts";

export interface DnsServerOptions {
  readonly host: string;
  /** 0: any port that is free for both UDP and TCP. */
  readonly port: number;
  readonly zone: Zone;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<DnsLimits>;
}

interface DnsLimits {
  /** Queries a second from one address; more are dropped. */
  readonly perSource: number;
  /** Queries a second in all. */
  readonly total: number;
  /** TCP connections at a time; the one idle for longest makes room. */
  readonly connections: number;
  /** A TCP connection without a whole query for that long is closed. */
  readonly idleMs: number;
}

const LIMITS: DnsLimits = { perSource: 2_000, total: 50_000, connections: 256, idleMs: 10_000 };
const MAX_SOURCES = 4_096;
/** Answers that a TCP client has not taken yet. */
const MAX_UNSENT_BYTES = 256 * 1024;
const ATTEMPTS_FOR_ANY_PORT = 16;

/** DNS over UDP and TCP on one port. */
export class DnsServer {
  readonly port: number;
  readonly #options: DnsServerOptions;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #limits: DnsLimits;
  readonly #total: TokenBucket;
  readonly #sources: SourceLimits;
  /** Open TCP connections, the longest idle first. */
  readonly #connections = new Map<Socket, () => void>();

  private constructor(options: DnsServerOptions, udp: UdpSocket, tcp: Server, port: number) {
    this.#options = options;
    this.#udp = udp;
    this.#tcp = tcp;
    this.port = port;
    const limits = { ...LIMITS, ...options.limits };
    this.#limits = limits;
    this.#total = new TokenBucket(options.clock, limits.total, limits.total);
    this.#sources = new SourceLimits(
      MAX_SOURCES,
      () => new TokenBucket(options.clock, limits.perSource, limits.perSource),
    );
    const report = (error: Error) => options.log.warn("dns.socket_error", { reason: errorText(error) });
    udp.on("error", report);
    udp.on("message", (bytes, { address, port: from }) => {
      if (!this.#allows(address)) return;
      const response = respond(bytes, "udp", options.zone);
      // A lost answer is the client's to ask for again.
      if (response !== undefined) udp.send(response, from, address, () => {});
    });
    tcp.on("error", report);
    tcp.on("connection", (socket) => this.#serve(socket));
  }

  /** Listens. @throws MeshError PORT_IN_USE, or USAGE for an address that cannot be bound */
  static async listen(options: DnsServerOptions): Promise<DnsServer> {
    for (let attempt = 0; ; attempt++) {
      const tcp = createServer({ noDelay: true });
      const udp = createSocket({ type: isIP(options.host) === 6 ? "udp6" : "udp4" });
      try {
        await bindTcp(tcp, options);
        const address = tcp.address();
        const port = typeof address === "object" && address !== null ? address.port : options.port;
        await bindUdp(udp, options.host, port);
        return new DnsServer(options, udp, tcp, port);
      } catch (error) {
        tcp.close();
        closeQuietly(udp);
        const inUse = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
        if (inUse && options.port === 0 && attempt < ATTEMPTS_FOR_ANY_PORT) continue;
        throw bindError(error, options);
      }
    }
  }

  async close(): Promise<void> {
    for (const socket of this.#connections.keys()) socket.destroy();
    await Promise.all([
      new Promise<void>((resolve) => this.#tcp.close(() => resolve())),
      new Promise<void>((resolve) => this.#udp.close(() => resolve())),
    ]);
  }

  #allows(source: string): boolean {
    return this.#sources.take(source) && this.#total.take();
  }

  #serve(socket: Socket): void {
    const { zone, clock } = this.#options;
    const source = socket.remoteAddress ?? "";
    let pending: Buffer = Buffer.alloc(0);
    // The clock never keeps the process alive, and each whole query winds it up again.
    const touch = () => {
      this.#connections.get(socket)?.();
      this.#connections.delete(socket);
      this.#connections.set(
        socket,
        clock.after(this.#limits.idleMs, () => socket.destroy()),
      );
    };
    touch();
    if (this.#connections.size > this.#limits.connections) {
      const [oldest] = this.#connections.keys();
      oldest?.destroy();
    }
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#connections.get(socket)?.();
      this.#connections.delete(socket);
    });
    socket.on("data", (chunk: Buffer) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      while (pending.length >= 2) {
        const length = pending.readUInt16BE(0);
        if (length > MAX_QUERY_BYTES || length === 0) {
          socket.destroy();
          return;
        }
        if (pending.length < 2 + length) return;
        const query = pending.subarray(2, 2 + length);
        pending = pending.subarray(2 + length);
        touch();
        const response = this.#allows(source) ? respond(query, "tcp", zone) : undefined;
        if (response === undefined || socket.writableLength > MAX_UNSENT_BYTES) {
          socket.destroy();
          return;
        }
        const head = Buffer.alloc(2);
        head.writeUInt16BE(response.length);
        socket.write(Buffer.concat([head, response]));
      }
    });
    socket.on("end", () => socket.end());
  }
}

async function bindTcp(server: Server, { host, port }: DnsServerOptions): Promise<void> {
  server.listen({ host, port });
  await once(server, "listening");
}

async function bindUdp(socket: UdpSocket, address: string, port: number): Promise<void> {
  socket.bind({ address, port });
  await once(socket, "listening");
}

function closeQuietly(socket: UdpSocket): void {
  try {
    socket.close();
  } catch {
    // Was never bound.
  }
}

function bindError(error: unknown, { host, port }: DnsServerOptions): MeshError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "EADDRINUSE") {
    const message = `Cannot serve DNS on ${host}:${port}: the port is in use. Stop what listens there, or choose another port.`;
    return new MeshError("PORT_IN_USE", message, { cause: error });
  }
  return asMeshError(error, "USAGE", `serve DNS on ${host}:${port}`);
}
