import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { WheelTimer } from "../../transport/timer-wheel.ts";
import type { Engine } from "./engine.ts";

const LINGER_MS = 1_000;
const MAX_LINGER_BYTES = 1_048_576;

/** Ends a connection that was answered for the last time; `onGone` runs once it is closed. */
export function linger(stream: ByteStream, engine: Engine, onGone: () => void): void {
  stream.user = new Lingering(stream, engine, onGone);
  stream.end();
  stream.resume();
}

/**
 * Throws away what still comes, so that no reset overtakes the answer (RFC 9112 section 9.6). The time for that counts
 * from when the client has taken the answer; how long it may take nothing of it is bounded too.
 */
class Lingering implements ByteStreamUser {
  readonly #stream: ByteStream;
  readonly #engine: Engine;
  readonly #onGone: () => void;
  readonly #timer: WheelTimer;
  #discardedBytes = 0;
  #unsentBytes: number;
  #unchangedMs = 0;

  constructor(stream: ByteStream, engine: Engine, onGone: () => void) {
    this.#stream = stream;
    this.#engine = engine;
    this.#onGone = onGone;
    this.#unsentBytes = stream.pendingBytes;
    this.#timer = new WheelTimer(() => this.#expired());
    engine.connections.add(this);
    engine.transport.wheel.arm(this.#timer, LINGER_MS);
  }

  #expired(): void {
    const { pendingBytes } = this.#stream;
    this.#unchangedMs = pendingBytes === this.#unsentBytes ? this.#unchangedMs + LINGER_MS : 0;
    this.#unsentBytes = pendingBytes;
    if (pendingBytes === 0 || this.#unchangedMs >= this.#engine.limits.stallMs) this.#stream.destroy();
    else this.#engine.transport.wheel.arm(this.#timer, LINGER_MS);
  }

  onRead(_buffer: Buffer, length: number): void {
    this.#discardedBytes += length;
    if (this.#discardedBytes > MAX_LINGER_BYTES) this.destroy();
  }

  /** Where the answer is all sent the stream closes by itself. */
  onEnd(): void {}

  onDrain(): void {}

  onClose(): void {
    this.#engine.transport.wheel.drop(this.#timer);
    this.#engine.connections.delete(this);
    this.#onGone();
  }

  drain(): void {}

  destroy(): void {
    this.#stream.destroy(undefined, true);
  }
}
