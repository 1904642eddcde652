import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import { type TimerWheel, WheelTimer } from "../../transport/timer-wheel.ts";

/** How a connection is read until it is known what it is. */
export interface FirstBytesOptions<D> {
  readonly stream: ByteStream;
  readonly wheel: TimerWheel;
  /** Where it is listed for drain and close, as long as it is undecided. */
  readonly connections: Set<{ drain(): void; destroy(): void }>;
  /** Without a decision. */
  readonly timeoutMs: number;
  /** What the first bytes say; undefined: not yet. Must decide at some length. */
  readonly decide: (b: Buffer, length: number) => D | undefined;
  /**
   * It is decided, or will not be: undefined after `timeoutMs`, or where the client has ended. Sets `stream.user` and
   * gives it `b[0, length)`, which is only valid during the call, and `onEnd()` if `ended`.
   */
  readonly onDecided: (decision: D | undefined, b: Buffer, length: number, ended: boolean) => void;
  /** The client is gone before that. */
  readonly onGone?: () => void;
}

const NOTHING = Buffer.alloc(0);

/** The user of a connection up to its first bytes. Where the first read decides, they are not copied. */
export class FirstBytes<D> implements ByteStreamUser {
  readonly #options: FirstBytesOptions<D>;
  readonly #timer: WheelTimer;
  #held: Buffer = NOTHING;
  #done = false;

  constructor(options: FirstBytesOptions<D>) {
    this.#options = options;
    this.#timer = new WheelTimer(() => this.#settle(undefined, this.#held, this.#held.length, false));
    options.connections.add(this);
    options.wheel.arm(this.#timer, options.timeoutMs);
  }

  onRead(buffer: Buffer, length: number): void {
    if (this.#done) return;
    const together = this.#held.length > 0;
    const b = together ? Buffer.concat([this.#held, buffer.subarray(0, length)]) : buffer;
    const all = together ? b.length : length;
    const decision = this.#options.decide(b, all);
    if (decision !== undefined) this.#settle(decision, b, all, false);
    else this.#held = together ? b : Buffer.from(buffer.subarray(0, length));
  }

  onEnd(): void {
    if (!this.#done) this.#settle(undefined, this.#held, this.#held.length, true);
  }

  onDrain(): void {}

  onClose(): void {
    if (this.#done) return;
    this.#finish();
    this.#options.onGone?.();
  }

  /** Nothing more is to be found out: as if the time were over. */
  giveUp(): void {
    if (!this.#done) this.#settle(undefined, this.#held, this.#held.length, false);
  }

  /** A connection that has asked for nothing yet is not waited for. */
  drain(): void {
    this.#options.stream.destroy();
  }

  destroy(): void {
    this.#options.stream.destroy(undefined, true);
  }

  #settle(decision: D | undefined, b: Buffer, length: number, ended: boolean): void {
    this.#finish();
    this.#options.onDecided(decision, b, length, ended);
  }

  #finish(): void {
    this.#done = true;
    this.#held = NOTHING;
    this.#options.wheel.drop(this.#timer);
    this.#options.connections.delete(this);
  }
}
