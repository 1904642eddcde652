import type { EventClock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { HandleBinding, WriteRequest } from "./handle-binding.ts";
import type { AdapterOptions } from "./net-transport.ts";
import { Outbox, wordsOf } from "./outbox.ts";

export const READ_BYTES = 65_536;
/** To this a read is made smaller, by halves, where whom it is for does not take as much. */
export const LEAST_READ_BYTES = 16_384;
const SCRATCH_BYTES = 81_920;
const SLAB_BYTES = 4 * SCRATCH_BYTES;
const BULK_BYTES = 262_144;
const POOLED_BULK_BUFFERS = 64;

/** Views up to this length are kept; for longer ones the copy costs more than the view. */
const CACHED_VIEW_BYTES = 8_192;
/** The same few come again and again. A whole array from the start: with holes in it a look-up is a dictionary's. */
const VIEW_SLOTS = 1_024;

/** Of the listener that a stream came in at. */
export interface StreamCount {
  connections: number;
}

/** `oncomplete` of every write that libuv kept. */
function onWritten(this: WriteRequest, status: number): void {
  this.stream?.written(status);
}

/** Views of one buffer, those that were asked for last. */
class Views {
  #buffer: Buffer;
  readonly #views = new Array<Buffer | undefined>(VIEW_SLOTS).fill(undefined);

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** From now on of another buffer; views of the one before are made anew. */
  moveTo(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#views.fill(undefined);
  }

  range(start: number, end: number): Buffer {
    const length = end - start;
    if (length > CACHED_VIEW_BYTES) return this.#buffer.subarray(start, end);
    const slot = (start * 31 + length) & (VIEW_SLOTS - 1);
    const known = this.#views[slot];
    if (known !== undefined && known.length === length && known.byteOffset === this.#buffer.byteOffset + start)
      return known;
    const view = this.#buffer.subarray(start, end);
    this.#views[slot] = view;
    return view;
  }
}

/**
 * What all streams of the handle adapter share, so that the steady state allocates nothing: one buffer that every
 * read lands in, one scratch that every write goes out from, one write request, buffers for bulk flows.
 */
export class HandleIo {
  readonly binding: HandleBinding;
  readonly log: Log;
  readonly maxPendingBytes: number;
  readonly clock: EventClock;
  readonly readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);
  readonly readViews = new Views(this.readBuffer);
  readonly readWords = wordsOf(this.readBuffer);
  /** What the binding tells of the last call: `state[nread]`, `state[lastAsync]`. */
  readonly state: Int32Array;
  readonly nread: number;
  readonly lastAsync: number;
  readonly #shortReads = new Map<number, Buffer>();
  /** Reused until libuv keeps it. */
  request: WriteRequest;
  scratch: Buffer;
  readonly scratchViews: Views;
  readonly outbox: Outbox;
  /** The stream whose `onRead` runs, with a buffer of its own that may be passed on without a copy. */
  bulkReader: { readonly bulk: Buffer | undefined; bulkTaken: boolean } | undefined = undefined;
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #slabUsed = 0;
  readonly #bulkPool: Buffer[] = [];

  constructor(binding: HandleBinding, options: AdapterOptions, clock: EventClock) {
    this.binding = binding;
    this.log = options.log;
    this.maxPendingBytes = options.maxPendingBytes;
    this.clock = clock;
    this.outbox = new Outbox(options.loneWritesAtOnce);
    const { streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = binding.stream;
    this.state = streamBaseState;
    this.nread = kReadBytesOrError;
    this.lastAsync = kLastWriteWasAsync;
    this.request = this.#newRequest();
    this.scratch = this.#slab.subarray(0, SCRATCH_BYTES);
    this.scratchViews = new Views(this.scratch);
  }

  /**
   * The first `length` bytes of the scratch and the request now belong to libuv, until the write completes. Only
   * those bytes are given up, so that many slow readers don't pin a whole scratch each.
   */
  giveRequest(scratchLength: number): void {
    this.request = this.#newRequest();
    if (scratchLength === 0) return;
    this.#slabUsed += (scratchLength + 63) & ~63;
    if (this.#slabUsed + SCRATCH_BYTES > SLAB_BYTES) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#slabUsed = 0;
    }
    this.scratch = this.#slab.subarray(this.#slabUsed, this.#slabUsed + SCRATCH_BYTES);
    this.scratchViews.moveTo(this.scratch);
  }

  /** The start of the read buffer, for a read of at most `bytes`. */
  readBufferOf(bytes: number): Buffer {
    if (bytes === READ_BYTES) return this.readBuffer;
    let view = this.#shortReads.get(bytes);
    if (view === undefined) {
      view = this.readBuffer.subarray(0, bytes);
      this.#shortReads.set(bytes, view);
    }
    return view;
  }

  takeBulk(): Buffer {
    return this.#bulkPool.pop() ?? Buffer.allocUnsafeSlow(BULK_BYTES);
  }

  returnBulk(buffer: Buffer): void {
    if (this.#bulkPool.length < POOLED_BULK_BUFFERS) this.#bulkPool.push(buffer);
  }

  #newRequest(): WriteRequest {
    const request = new this.binding.stream.WriteWrap();
    request.oncomplete = onWritten;
    return request;
  }
}
