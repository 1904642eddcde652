import type { Socket } from "node:net";
import { type Clock, every } from "../core/clock.ts";
import { SourceLimits, TokenBucket } from "../core/token-bucket.ts";

/** What strangers and known peers may cost a port that anybody can reach. */
export interface GateLimits {
  /** Connections whose peer has not shown who it is, in all: over it the oldest of them goes. */
  readonly unproven: number;
  /** The same from one address (of IPv6 a /64): over it the new one goes. */
  readonly unprovenPerAddress: number;
  /** Such connections that one address may begin at once, and then a second; one that proves itself is not counted. */
  readonly unprovenBurst: number;
  readonly unprovenPerSecond: number;
  /** Bytes that may come over a connection without a certificate. */
  readonly anonymousBytes: number;
  /** Connections of one identity that are open; and that it may begin at once, and then a second. */
  readonly perIdentity: number;
  readonly identityBurst: number;
  readonly identityPerSecond: number;
  /** Bytes that are in no message (PING, SETTINGS, header blocks, resets): at once, and then a second. */
  readonly overheadBurst: number;
  readonly overheadPerSecond: number;
}

export type GateRefusal =
  | "address_rate"
  | "address_limit"
  | "unproven_limit"
  | "anonymous_bytes"
  | "identity_rate"
  | "identity_limit"
  | "overhead";

const SWEEP_MS = 250;
const MAX_SOURCES = 10_000;
/** Frames and headers round a message, at most. */
const PER_MESSAGE = 64;

interface Known {
  readonly socket: Socket;
  readonly overhead: TokenBucket;
  messages: number;
  seen: number;
}

/** Counts the connections of one port by where they come from until they prove who they are, and by that afterwards. */
export class ConnectionGate {
  readonly #limits: GateLimits;
  readonly #clock: Clock;
  readonly #onRefused: (reason: GateRefusal, address: string) => void;
  readonly #rates: SourceLimits;
  readonly #identityRates: SourceLimits;
  /** By address and port, the oldest first. */
  readonly #unproven = new Map<string, { socket: Socket; source: string }>();
  readonly #bySource = new Map<string, number>();
  readonly #byIdentity = new Map<string, number>();
  readonly #anonymous = new Set<Socket>();
  readonly #known = new Map<string, Known>();
  readonly #stop: () => void;

  constructor(limits: GateLimits, clock: Clock, onRefused: (reason: GateRefusal, address: string) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#onRefused = onRefused;
    const { unprovenPerSecond, unprovenBurst, identityPerSecond, identityBurst } = limits;
    this.#rates = new SourceLimits(MAX_SOURCES, () => new TokenBucket(clock, unprovenPerSecond, unprovenBurst));
    this.#identityRates = new SourceLimits(MAX_SOURCES, () => new TokenBucket(clock, identityPerSecond, identityBurst));
    this.#stop = every(clock, SWEEP_MS, () => this.#sweep());
  }

  close(): void {
    this.#stop();
  }

  /** A connection was accepted. False: it was dropped. */
  opened(socket: Socket): boolean {
    const source = sourceOf(socket.remoteAddress ?? "");
    const open = this.#bySource.get(source) ?? 0;
    if (open >= this.#limits.unprovenPerAddress) return this.#refuse(socket, "address_limit");
    if (!this.#rates.take(source)) return this.#refuse(socket, "address_rate");
    const key = keyOf(socket);
    this.#unproven.set(key, { socket, source });
    this.#bySource.set(source, open + 1);
    socket.once("close", () => this.#forget(key));
    if (this.#unproven.size > this.#limits.unproven) {
      // Who means well is here for a moment only, so that the oldest is the least likely to.
      const [oldest] = this.#unproven.values();
      if (oldest !== undefined) this.#refuse(oldest.socket, "unproven_limit");
    }
    return true;
  }

  /** The handshake is over without a certificate that counts. */
  anonymous(socket: Socket): void {
    this.#anonymous.add(socket);
    socket.once("close", () => this.#anonymous.delete(socket));
  }

  /** The handshake is over, and the peer is `identity`. False: it was dropped. */
  proven(socket: Socket, identity: string): boolean {
    const key = keyOf(socket);
    const source = this.#forget(key);
    if (source !== undefined) this.#rates.refund(source);
    const open = this.#byIdentity.get(identity) ?? 0;
    if (open >= this.#limits.perIdentity) return this.#refuse(socket, "identity_limit");
    if (!this.#identityRates.take(identity)) return this.#refuse(socket, "identity_rate");
    this.#byIdentity.set(identity, open + 1);
    const { overheadPerSecond, overheadBurst } = this.#limits;
    const overhead = new TokenBucket(this.#clock, overheadPerSecond, overheadBurst);
    this.#known.set(key, { socket, overhead, messages: 0, seen: 0 });
    socket.once("close", () => {
      this.#known.delete(key);
      const left = (this.#byIdentity.get(identity) ?? 1) - 1;
      if (left > 0) this.#byIdentity.set(identity, left);
      else this.#byIdentity.delete(identity);
    });
    return true;
  }

  /** A message of `bytes` came over the connection from `peer`, "address:port". */
  message(peer: string, bytes: number): void {
    const known = this.#known.get(peer);
    if (known !== undefined) known.messages += bytes * 1.25 + PER_MESSAGE;
  }

  #forget(key: string): string | undefined {
    const unproven = this.#unproven.get(key);
    if (unproven === undefined) return undefined;
    const { source } = unproven;
    this.#unproven.delete(key);
    const left = (this.#bySource.get(source) ?? 1) - 1;
    if (left > 0) this.#bySource.set(source, left);
    else this.#bySource.delete(source);
    return source;
  }

  #sweep(): void {
    for (const socket of this.#anonymous)
      if (socket.bytesRead > this.#limits.anonymousBytes) this.#refuse(socket, "anonymous_bytes");
    for (const known of this.#known.values()) {
      const { socket, messages, seen } = known;
      const overhead = Math.max(0, socket.bytesRead - messages);
      // Of a message that is under way the bytes are there before the message is: what was counted is not again.
      if (overhead > seen && known.overhead.spend(overhead - seen) > 0) this.#refuse(socket, "overhead");
      if (overhead < seen) known.overhead.refund(seen - overhead);
      known.seen = overhead;
    }
  }

  #refuse(socket: Socket, reason: GateRefusal): false {
    this.#onRefused(reason, socket.remoteAddress ?? "");
    socket.destroy();
    return false;
  }
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

/** What is taken for one source: an IPv4 address, or the network that one host of IPv6 is given. */
function sourceOf(address: string): string {
  const v4 = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1];
  if (v4 !== undefined) return v4;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? [] : new Array<string>(Math.max(0, 8 - groups.length - after.length)).fill("0");
  return [...groups, ...zeros, ...after].slice(0, 4).join(":");
}
