import type { MeshError } from "../../core/errors.ts";
import type { Random } from "../../core/random.ts";
import type { ByteStream, ByteStreamUser } from "../byte-stream.ts";
import { WheelTimer } from "../timer-wheel.ts";
import type { CancelConnect } from "../transport.ts";
import { MuxConnection } from "./mux-connection.ts";
import type { MuxContext, MuxEnd } from "./mux-context.ts";

export interface MuxPoolOptions {
  /** A connection has been made, or has ended. */
  readonly onChange?: (ended?: MuxEnd) => void;
  /** Whether nothing comes on any connection that there is, although something was said; false when one is made. */
  readonly onStall?: (stalled: boolean) => void;
  /** Counts what came on connections after something was said. */
  readonly answers?: { count: number };
  /** Connections to the one peer. */
  readonly connections: number;
  /** With so many streams on every connection another one is made; fewer connections make larger batches. */
  readonly softStreams: number;
  /** A connection retires after this, or up to a fifth earlier; asked when it is made. 10 min where it says 0. */
  readonly maxAgeMs?: () => number;
  readonly random?: Random;
}

/** However long a connection is in use, both sides show and judge certificates anew about this often. */
const MAX_AGE_MS = 600_000;
const AGE_JITTER = 0.2;

const MUX_POOL: MuxPoolOptions = { connections: 4, softStreams: 100 };

/** Makes a connection on which the peer expects frames. Exactly one of the callbacks runs, later. */
export type DialMux<B> = (
  onConnect: (stream: ByteStream) => ByteStreamUser,
  onFailure: (error: MeshError, blame: B) => void,
) => CancelConnect;

interface Waiter<B> {
  readonly dial: DialMux<B>;
  readonly onStream: (stream: ByteStream) => void;
  readonly onFailure: (error: MeshError, blame: B) => void;
}

/** Multiplexed connections to one peer. `B` is what a failed dial says beside its error. */
export class MuxPool<B> {
  readonly #context: MuxContext;
  readonly #options: MuxPoolOptions;
  #connections: MuxConnection[] = [];
  readonly #waiting = new Set<Waiter<B>>();
  #dialing: CancelConnect | undefined;
  #servingDue = false;
  #stalled = false;
  #closed = false;

  constructor(context: MuxContext, options: Partial<MuxPoolOptions> = {}) {
    this.#context = context;
    this.#options = { ...MUX_POOL, ...options };
  }

  get connections(): number {
    return this.#connections.length;
  }

  /** Streams that are open, or wait to be. */
  get streams(): number {
    return this.#connections.reduce((sum, { streams }) => sum + streams, this.#waiting.size);
  }

  /** Makes a connection for later where there is none. */
  warm(dial: DialMux<B>): void {
    if (!this.#closed && this.#dialing === undefined && this.#choose() === undefined) this.#dial(dial);
  }

  /** Whether a stream may be had: now, or after a dial. False: make a connection of another kind. */
  get mayOpen(): boolean {
    if (this.#closed) return false;
    const free = this.#options.connections - this.#lasting;
    let room = free * this.#context.limits.streams - this.#waiting.size;
    for (const connection of this.#connections) {
      if (connection.open) room += this.#context.limits.streams - connection.streams;
    }
    return room > 0;
  }

  /** Connections that take streams, or would if they were not full. */
  get #lasting(): number {
    let count = 0;
    for (const connection of this.#connections) if (!connection.draining) count++;
    return count;
  }

  /**
   * Opens a stream, whose user the callee becomes, on a connection there is or, by `dial`, on a new one. One of the
   * callbacks runs, later.
   */
  open(
    dial: DialMux<B>,
    onStream: (stream: ByteStream) => void,
    onFailure: (error: MeshError, blame: B) => void,
  ): CancelConnect {
    const waiter = { dial, onStream, onFailure };
    this.#waiting.add(waiter);
    if (this.#choose() !== undefined) this.#serveSoon();
    this.#dialIfWanted(dial);
    return () => {
      if (this.#waiting.delete(waiter)) this.#cancelIfUnwanted();
    };
  }

  /** The connection for the next stream: the first with few, else the one with fewest. */
  #choose(): MuxConnection | undefined {
    let best: MuxConnection | undefined;
    for (const connection of this.#connections) {
      if (!connection.open) continue;
      if (connection.streams < this.#options.softStreams) return connection;
      if (best === undefined || connection.streams < best.streams) best = connection;
    }
    return best;
  }

  #dialIfWanted(dial: DialMux<B>): void {
    if (this.#dialing !== undefined || this.#lasting >= this.#options.connections) return;
    const best = this.#choose();
    if (best === undefined || best.streams >= this.#options.softStreams) this.#dial(dial);
  }

  #dial(dial: DialMux<B>): void {
    let cancel: CancelConnect | undefined;
    const begun = () => {
      if (this.#dialing === cancel) this.#dialing = undefined;
    };
    cancel = dial(
      (stream) => {
        begun();
        const connection = this.#add(stream);
        if (this.#waiting.size > 0) this.#serveSoon();
        else if (this.#closed) connection.drain();
        return connection;
      },
      (error, blame) => {
        begun();
        // Where there is a connection already, the new one was only to take some load off it.
        if (this.#choose() !== undefined) {
          this.#serveSoon();
          return;
        }
        const failed = [...this.#waiting];
        this.#waiting.clear();
        for (const { onFailure } of failed) onFailure(error, blame);
      },
    );
    this.#dialing = cancel;
  }

  #add(stream: ByteStream): MuxConnection {
    const connection: MuxConnection = new MuxConnection(this.#context, stream, true, {
      onChange: () => {
        if (this.#closed && connection.streams === 0) connection.drain();
        this.#serveSoon();
      },
      ...(this.#options.answers === undefined ? {} : { answers: this.#options.answers }),
      ...(this.#options.onStall === undefined ? {} : { onStall: () => this.#stallChanged() }),
      onGone: (reason) => {
        this.#context.wheel.drop(age);
        this.#options.onChange?.(reason);
        this.#connections = this.#connections.filter((each) => each !== connection);
        this.#judge();
        this.#serveSoon();
      },
    });
    const { maxAgeMs, random = Math.random } = this.#options;
    const age = new WheelTimer(() => connection.drain());
    this.#context.wheel.arm(age, (maxAgeMs?.() || MAX_AGE_MS) * (1 - AGE_JITTER * random()));
    this.#connections.push(connection);
    this.#options.onChange?.();
    this.#judge();
    return connection;
  }

  #stallChanged(): void {
    this.#judge();
    this.#serveSoon();
  }

  /** One connection on which something comes shows that the way is open; without any nothing new is known. */
  #judge(): void {
    if (this.#connections.length === 0) return;
    const stalled = this.#connections.every((each) => each.stalled || each.draining);
    const silent = stalled && this.#connections.some((each) => each.stalled);
    if (silent === this.#stalled) return;
    this.#stalled = silent;
    this.#options.onStall?.(silent);
  }

  /** Gives up what waits for a connection to be made. */
  abandonWaiting(error: MeshError, blame: B): void {
    const failed = [...this.#waiting];
    if (failed.length === 0 || this.#dialing === undefined) return;
    this.#waiting.clear();
    this.#dialing();
    this.#dialing = undefined;
    for (const { onFailure } of failed) onFailure(error, blame);
  }

  /** After the current callback, as promised. */
  #serveSoon(): void {
    if (this.#servingDue || this.#waiting.size === 0) return;
    this.#servingDue = true;
    queueMicrotask(() => {
      this.#servingDue = false;
      this.#serve();
    });
  }

  #serve(): void {
    for (const waiter of this.#waiting) {
      const connection = this.#choose();
      if (connection === undefined) {
        // What there was has gone meanwhile.
        this.#dialIfWanted(waiter.dial);
        return;
      }
      this.#waiting.delete(waiter);
      waiter.onStream(connection.openStream());
    }
    if (this.#closed) this.retire();
  }

  #cancelIfUnwanted(): void {
    if (this.#waiting.size > 0 || !this.#closed) return;
    this.#dialing?.();
    this.#dialing = undefined;
  }

  /** No new streams on the connections there are; each closes after its last one. New ones may be made. */
  retire(): void {
    for (const connection of [...this.#connections]) connection.drain();
  }

  /** The peer is not dialled any more; what is open goes on until it ends. */
  close(): void {
    this.#closed = true;
    this.#cancelIfUnwanted();
    this.retire();
  }

  /** Drops everything. */
  destroy(): void {
    this.close();
    this.#dialing?.();
    this.#dialing = undefined;
    this.#waiting.clear();
    for (const connection of [...this.#connections]) connection.destroy();
  }
}
