import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { parseClientHello } from "../../transport/client-hello.ts";
import { Deadline } from "../../transport/timer-wheel.ts";
import type { CancelConnect, Transport } from "../../transport/transport.ts";
import {
  type CutReason,
  type Direction,
  INWARD,
  OUTWARD,
  type RefusalReason,
  type RelayMetrics,
} from "./relay-metrics.ts";

/** Where a server name leads. */
export interface RelayRoute {
  readonly host: string;
  readonly port: number;
  /** Names the route when it is removed. */
  readonly key: string;
  /** The linked cluster that it is for; counts towards the limit per peer. */
  readonly peer?: string;
}

/** What the connections of one relay share. */
export interface RelayContext {
  readonly transport: Transport;
  readonly metrics: RelayMetrics;
  readonly routes: { lookup(serverName: string): RelayRoute | undefined };
  readonly handshakeTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Books the connection under its route; false when the peer has too many. */
  admit(connection: RelayConnection, route: RelayRoute): boolean;
  gone(connection: RelayConnection): void;
  failed(route: RelayRoute, error: Error): void;
}

/** A ClientHello of 16 KiB in records of ordinary size; one in tiny records is refused sooner. */
const MAX_HELD_BYTES = 20_480;
const BULK_READ_BYTES = 262_144;
/** How long a refused client may take to read the alert. */
const LINGER_MS = 1_000;

const NOTHING: Buffer = Buffer.alloc(0);

const ALERT_DECODE_ERROR = 50;
const ALERT_UNRECOGNIZED_NAME = 112;

/** A fatal TLS alert in clear, as a server may send before its ServerHello (RFC 8446 section 6). */
function fatalAlert(description: number): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, description]);
}

/**
 * One side of a spliced connection: what it reads goes to the other one, whose pace it keeps. This is the hot
 * path: one write per read, no allocation, no timer.
 */
class SpliceSide implements ByteStreamUser {
  readonly #connection: RelayConnection;
  readonly #metrics: RelayMetrics;
  readonly #from: ByteStream;
  readonly #to: ByteStream;
  readonly #direction: Direction;

  constructor(
    connection: RelayConnection,
    metrics: RelayMetrics,
    from: ByteStream,
    to: ByteStream,
    direction: Direction,
  ) {
    this.#connection = connection;
    this.#metrics = metrics;
    this.#from = from;
    this.#to = to;
    this.#direction = direction;
  }

  onRead(buffer: Buffer, length: number): void {
    this.#connection.active = true;
    this.#metrics.bytes(this.#direction, length);
    if (!this.#to.write(buffer, 0, length)) this.#from.pause();
  }

  onEnd(): void {
    this.#to.end();
  }

  onDrain(): void {
    this.#to.resume();
  }

  onClose(error: Error | undefined): void {
    this.#to.destroy(undefined, error !== undefined);
    this.#connection.sideClosed();
  }
}

/** A client's connection: hello -> connecting -> spliced, or refused on the way. */
export class RelayConnection extends Deadline implements ByteStreamUser {
  /** Whether bytes moved since the idle timer last looked. */
  active = false;
  /** Once the server name is known. */
  route: RelayRoute | undefined = undefined;
  readonly #context: RelayContext;
  readonly #client: ByteStream;
  #state: "hello" | "connecting" | "spliced" | "refused" | "closed" = "hello";
  #held = NOTHING;
  /** While connecting. */
  #clientEnded = false;
  #cancelConnect: CancelConnect | undefined = undefined;
  #upstream: ByteStream | undefined = undefined;
  #openSides = 1;
  #idleRounds = 0;

  constructor(context: RelayContext, client: ByteStream) {
    super();
    this.#context = context;
    this.#client = client;
    context.transport.wheel.arm(this, context.handshakeTimeoutMs);
  }

  onRead(buffer: Buffer, length: number): void {
    if (this.#state !== "hello" && this.#state !== "connecting") return;
    const bytes = this.#context.transport.viewOf(buffer, 0, length);
    this.#held = this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    if (this.#state === "connecting") {
      // Few clients say more before they have an answer, so they are only paused then: that costs system calls.
      this.#client.pause();
      return;
    }
    const hello = parseClientHello(this.#held);
    switch (hello.kind) {
      case "needMore":
        if (this.#held.length > MAX_HELD_BYTES) this.#refuse("malformed", ALERT_DECODE_ERROR);
        return;
      case "notTls":
        this.#refuse("not_tls");
        return;
      case "malformed":
        this.#refuse("malformed", ALERT_DECODE_ERROR);
        return;
      case "hello":
        this.#routeTo(hello.serverName);
        return;
      default:
        hello satisfies never;
    }
  }

  onEnd(): void {
    // All that it had to say may be held already: the endpoint hears it, and then the end.
    if (this.#state === "connecting") this.#clientEnded = true;
    else this.#client.destroy();
  }

  onDrain(): void {}

  onClose(): void {
    this.#cancelConnect?.();
    this.sideClosed();
  }

  /** Drops both sides, with RST: what was under way is not complete. */
  cut(reason: CutReason): void {
    if (this.#state === "connecting" || this.#state === "spliced") this.#context.metrics.cut(reason);
    this.#drop();
  }

  /** Makes room for others before it has said where it goes. */
  evict(): void {
    if (this.#state === "hello") this.#refuse("unrouted_limit");
    else this.#drop();
  }

  /** One of the streams is gone. */
  sideClosed(): void {
    if (--this.#openSides > 0 || this.#state === "closed") return;
    this.#state = "closed";
    this.#context.transport.wheel.drop(this);
    this.#context.gone(this);
  }

  /** Too long in the state that it is in. */
  run(): void {
    if (this.#state === "hello") {
      this.#refuse("handshake_timeout");
    } else if (this.#state === "refused") {
      this.#client.destroy();
    } else if (this.active || this.#idleRounds === 0) {
      this.#idleRounds = this.active ? 0 : 1;
      this.active = false;
      this.#context.transport.wheel.arm(this, this.#context.idleTimeoutMs / 2);
    } else {
      this.cut("idle");
    }
  }

  #routeTo(serverName: string): void {
    if (serverName === "") {
      this.#refuse("no_server_name", ALERT_UNRECOGNIZED_NAME);
      return;
    }
    const route = this.#context.routes.lookup(serverName);
    if (route === undefined) {
      this.#refuse("unknown_route", ALERT_UNRECOGNIZED_NAME);
      return;
    }
    if (!this.#context.admit(this, route)) {
      this.#refuse("peer_limit");
      return;
    }
    this.#state = "connecting";
    const { transport, connectTimeoutMs } = this.#context;
    transport.wheel.disarm(this);
    this.#cancelConnect = transport.connectTcp(
      { host: route.host, port: route.port, timeoutMs: connectTimeoutMs },
      (upstream) => this.#splice(upstream),
      (error) => {
        this.#context.failed(route, error);
        this.#refuse("upstream_failed");
      },
    );
  }

  #splice(upstream: ByteStream): ByteStreamUser {
    const { metrics, transport, idleTimeoutMs } = this.#context;
    const client = this.#client;
    this.#state = "spliced";
    this.#cancelConnect = undefined;
    this.#upstream = upstream;
    this.#openSides++;
    client.maxReadBytes = BULK_READ_BYTES;
    upstream.maxReadBytes = BULK_READ_BYTES;
    metrics.relayed();
    metrics.bytes(INWARD, this.#held.length);
    const keepsUp = upstream.write(this.#held, 0, this.#held.length);
    this.#held = NOTHING;
    client.user = new SpliceSide(this, metrics, client, upstream, INWARD);
    if (this.#clientEnded) upstream.end();
    else if (keepsUp) client.resume();
    else client.pause();
    transport.wheel.arm(this, idleTimeoutMs / 2);
    return new SpliceSide(this, metrics, upstream, client, OUTWARD);
  }

  /** Without an alert the client sees a reset. */
  #refuse(reason: RefusalReason, alert?: number): void {
    this.#context.metrics.refused(reason);
    this.#held = NOTHING;
    this.#state = "refused";
    if (alert === undefined) {
      this.#drop();
      return;
    }
    // Closed at once, with the client still sending, the alert would be lost to an RST.
    this.#client.write(fatalAlert(alert), 0, 7);
    this.#client.end();
    this.#context.transport.wheel.arm(this, LINGER_MS);
  }

  #drop(): void {
    this.#cancelConnect?.();
    this.#client.destroy(undefined, true);
    this.#upstream?.destroy(undefined, true);
  }
}
