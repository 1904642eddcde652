import type { Field } from "./hpack/field.ts";

/** Of a connection and of each stream, where nobody says otherwise (RFC 9113 section 6.9.2). */
export const FIRST_WINDOW_BYTES = 65_535;

/** Who uses a stream. Called while frames are read; a callback may close the stream. */
export interface StreamUser {
  /** Trailers on the server's side; answers and trailers on the client's. `end`: nothing more comes. */
  onHeaders(stream: Stream, fields: Field[], end: boolean): void;
  onData(stream: Stream, b: Buffer, start: number, end: number, last: boolean): void;
  /** The peer has reset the stream, or broken the rules on it (`code`); it is closed. */
  onReset(stream: Stream, code: number, malformed: boolean): void;
  /** The connection is gone, or will not serve the stream: `unprocessed` where the peer says it did nothing with it. */
  onLost(stream: Stream, unprocessed: boolean): void;
  /** It need not be waited for: the link died. */
  abandon(stream: Stream): void;
  /** Both sides have ended, or this one has reset it. */
  onClosed(stream: Stream): void;
}

/** What the users of a stream ask of the connection that carries it. */
export interface StreamConnection {
  readonly remoteAddress: string;
  /** Headers or trailers, after what waits; `end`: nothing more follows. */
  sendHeaders(stream: Stream, fields: Field[], end: boolean): void;
  sendData(stream: Stream, b: Buffer, start: number, end: number, last: boolean): void;
  /** Ends a stream that nobody wants any more. */
  cancel(stream: Stream): void;
  /** Ends a stream from this side, at once, or after what waits on it. */
  reset(stream: Stream, code: number): void;
  resetAfterQueue(stream: Stream, code: number): void;
  /** Resets a stream on which the peer broke the rules, and tells its user. */
  malformed(stream: Stream, code?: number): void;
  /** `bytes` that came have been passed on or dropped: the peer may send as many more. */
  credit(stream: Stream, bytes: number): void;
  /** Nothing that came is kept any more. */
  settle(stream: Stream): void;
}

const NOTHING = Buffer.alloc(0);
const LEAST_QUEUE_BYTES = 16_384;

/** One end of one stream of one connection; reused. `other` is the end that its bytes are passed on to. */
export class Stream {
  readonly user: StreamUser;
  other: Stream;
  id = 0;
  /** Kept after the close, for bytes that are still to be credited. */
  connection: StreamConnection | undefined = undefined;
  open = false;
  sentEnd = false;
  receivedEnd = false;
  /** What the peer lets us send; negative after it has lowered its initial window. */
  sendWindow = 0;
  /** What we let the peer send. */
  recvWindow = 0;
  /** What `recvWindow` is restored to. */
  recvLimit = FIRST_WINDOW_BYTES;
  /** Received and neither passed on nor dropped. */
  uncredited = 0;
  /** Passed on, but not yet given back to the peer's window. */
  owed = 0;
  /** Left of the content-length; -1 where there is none. */
  contentLeft = -1;
  /** Waits for the peer's windows, or for the socket. */
  queue: Buffer = NOTHING;
  queueStart = 0;
  queueEnd = 0;
  /** After the queue: END_STREAM, or trailers that bear it, and a reset (-1: none). */
  endQueued = false;
  trailers: Field[] | undefined = undefined;
  resetQueued = -1;

  constructor(user: StreamUser) {
    this.user = user;
    this.other = this;
  }

  /** Begins as stream `id` of `connection`. */
  begin(connection: StreamConnection, id: number, sendWindow: number): void {
    this.id = id;
    this.connection = connection;
    this.open = true;
    this.sentEnd = false;
    this.receivedEnd = false;
    this.sendWindow = sendWindow;
    this.recvWindow = FIRST_WINDOW_BYTES;
    this.recvLimit = FIRST_WINDOW_BYTES;
    this.uncredited = 0;
    this.owed = 0;
    this.contentLeft = -1;
    this.dropQueue();
  }

  /** Something waits: nothing may overtake it. */
  get waiting(): boolean {
    return this.queueEnd > this.queueStart || this.endQueued || this.trailers !== undefined;
  }

  enqueue(b: Buffer, start: number, end: number): void {
    const length = end - start;
    const used = this.queueEnd - this.queueStart;
    if (this.queueEnd + length > this.queue.length) {
      const room = Math.max(LEAST_QUEUE_BYTES, used + length);
      const grown = room > this.queue.length ? Buffer.allocUnsafeSlow(Math.max(room, 2 * used)) : this.queue;
      this.queue.copy(grown, 0, this.queueStart, this.queueEnd);
      this.queue = grown;
      this.queueStart = 0;
      this.queueEnd = used;
    }
    b.copy(this.queue, this.queueEnd, start, end);
    this.queueEnd += length;
  }

  /** `bytes` of the queue have been sent. */
  dequeued(bytes: number): void {
    this.queueStart += bytes;
    if (this.queueStart < this.queueEnd) return;
    this.queueStart = 0;
    this.queueEnd = 0;
    this.queue = NOTHING;
  }

  dropQueue(): void {
    this.queue = NOTHING;
    this.queueStart = 0;
    this.queueEnd = 0;
    this.endQueued = false;
    this.trailers = undefined;
    this.resetQueued = -1;
  }
}
