import type { Log } from "../../core/log.ts";
import type { TimerWheel } from "../timer-wheel.ts";

export interface MuxLimits {
  /** Open streams of one connection. */
  readonly streams: number;
  /** Bytes that a new stream may send before its reader has taken any. */
  readonly windowBytes: number;
  /** To this a window grows whose reader keeps up with a sender that wants more. */
  readonly maxWindowBytes: number;
  /** Sum of what all windows of the process have grown by. */
  readonly growthBytes: number;
  /** Received bytes held for paused streams, in the whole process; over that, streams are reset. */
  readonly heldBytes: number;
  /** Bytes that may wait to be sent on one stream. */
  readonly maxPendingBytes: number;
  /** A connection on which nothing comes for so long is asked for a sign of life; after two such times without, it ends. */
  readonly pingMs: number;
  /**
   * The side that dialled calls a connection stalled on which nothing comes for so long after data was sent, an answer
   * to its ping included; 0: never. Round trips must be shorter.
   */
  readonly stallMs: number;
  /** The side that dialled closes a connection without streams after this; the other one waits twice as long. */
  readonly idleMs: number;
  /** How long a connection that is done waits for the other side's end. */
  readonly lingerMs: number;
  /** Frames that serve nothing (empty, pings, streams reset unanswered): so many at once, and so many a second. */
  readonly strikes: number;
  readonly strikesPerSecond: number;
}

/** 1,000 stalled streams hold 32 MB at most, and 16 MB more for those that grew. */
export const MUX_LIMITS: MuxLimits = {
  streams: 256,
  windowBytes: 32_768,
  maxWindowBytes: 1_048_576,
  growthBytes: 8 * 1_048_576,
  heldBytes: 64 * 1_048_576,
  maxPendingBytes: 4 * 1_048_576,
  pingMs: 5_000,
  stallMs: 400,
  idleMs: 60_000,
  lingerMs: 1_000,
  strikes: 1_000,
  strikesPerSecond: 200,
};

/** Why a multiplexed connection ended. */
export type MuxEnd =
  /** Idle, or drained. */
  | "done"
  /** Ended by this side while streams were open. */
  | "cut"
  /** The connection below ended or broke. */
  | "lost"
  /** No sign of life. */
  | "silent"
  /** A frame of unknown type, or with an id or value that its type forbids. */
  | "bad_frame"
  /** More was sent than the window allows. */
  | "window"
  /** More credit was given than a window may have. */
  | "credit"
  /** Too many frames that serve nothing. */
  | "flood"
  /** The other side does not read what must be said to it. */
  | "backlog";

/** Data that is gathered for one write, and room for the control frames that must not wait. */
const GATHERED_BYTES = 65_536;
const CONTROL_BYTES = 8_192;
const FREE_BUFFERS = 16;

/** What can be flushed at the end of a turn. */
export interface Flushed {
  flush(): void;
}

/** What all multiplexed connections of a process share: limits, budgets, buffers, and the turn's one flush. */
export class MuxContext {
  readonly wheel: TimerWheel;
  readonly log: Log;
  readonly limits: MuxLimits;
  /** Up to this index a gathering buffer takes data. */
  readonly gatheredBytes = GATHERED_BYTES;
  /** By which windows may yet grow. */
  growthLeft: number;
  /** Received for paused streams. */
  held = 0;
  /** Open connections and streams. */
  connections = 0;
  streams = 0;
  readonly #free: Buffer[] = [];
  #due: Flushed[] = [];
  #flushing: Flushed[] = [];

  constructor(deps: { wheel: TimerWheel; log: Log; limits?: Partial<MuxLimits> }) {
    this.wheel = deps.wheel;
    this.log = deps.log;
    this.limits = { ...MUX_LIMITS, ...deps.limits };
    this.growthLeft = this.limits.growthBytes;
  }

  /** Room for what one connection writes next. */
  takeBuffer(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(GATHERED_BYTES + CONTROL_BYTES);
  }

  giveBuffer(buffer: Buffer): void {
    if (this.#free.length < FREE_BUFFERS) this.#free.push(buffer);
  }

  /**
   * Has `connection` flushed when all that this turn of the event loop has read is served: right after its poll phase,
   * so that a lone request does not wait, and a busy turn makes one write.
   */
  flushSoon(connection: Flushed): void {
    if (this.#due.push(connection) === 1) setImmediate(this.#flushAll);
  }

  readonly #flushAll = (): void => {
    const due = this.#due;
    this.#due = this.#flushing;
    this.#flushing = due;
    for (const connection of due) connection.flush();
    due.length = 0;
  };
}
