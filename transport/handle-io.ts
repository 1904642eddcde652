import type { EventClock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { HandleBinding, WriteRequest } from "./handle-binding.ts";
import { Outbox } from "./outbox.ts";

export const READ_BYTES = 65_536;
/** To this a read is made smaller, by halves, where whom it is for does not take as much. */
export const LEAST_READ_BYTES = 16_384;
const SCRATCH_BYTES = 81_920;
const SLAB_BYTES = 4 * SCRATCH_BYTES;
/** Views up to this length are made once and kept; for longer ones the copy costs more than the view. */
const CACHED_VIEW_BYTES = 8_192;
const BULK_BYTES = 262_144;
const POOLED_BULK_BUFFERS = 64;

/** Slots for views that do not begin at the start; the same few come again and again. */
const RANGE_SLOTS = 1_024;

/** Views of one buffer: of its start one per length, of other parts the ones that were asked for last. */
class Views {
  readonly #buffer: Buffer;
  readonly #byLength: (Buffer | undefined)[] = [];
  readonly #ranges: (Buffer | undefined)[] = [];

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  of(length: number): Buffer {
    if (length > CACHED_VIEW_BYTES) return this.#buffer.subarray(0, length);
    const known = this.#byLength[length];
    if (known !== undefined) return known;
    const view = this.#buffer.subarray(0, length);
    this.#byLength[length] = view;
    return view;
  }

  range(start: number, end: number): Buffer {
    if (start === 0) return this.of(end);
    const length = end - start;
    if (length > CACHED_VIEW_BYTES) return this.#buffer.subarray(start, end);
    const slot = (start * 31 + length) & (RANGE_SLOTS - 1);
    const known = this.#ranges[slot];
    if (known !== undefined && known.length === length && known.byteOffset === this.#buffer.byteOffset + start)
      return known;
    const view = this.#buffer.subarray(start, end);
    this.#ranges[slot] = view;
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
  readonly #shortReads = new Map<number, Buffer>();
  /** Reused until libuv keeps it. */
  request: WriteRequest;
  scratch: Buffer;
  scratchViews: Views;
  readonly outbox = new Outbox();
  /** The stream whose `onRead` runs, with a buffer of its own that may be passed on without a copy. */
  bulkReader: { readonly bulk: Buffer | undefined; bulkTaken: boolean } | undefined = undefined;
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #slabUsed = 0;
  readonly #bulkPool: Buffer[] = [];

  constructor(binding: HandleBinding, log: Log, maxPendingBytes: number, clock: EventClock) {
    this.binding = binding;
    this.log = log;
    this.maxPendingBytes = maxPendingBytes;
    this.clock = clock;
    this.request = new binding.stream.WriteWrap();
    this.scratch = this.#slab.subarray(0, SCRATCH_BYTES);
    this.scratchViews = new Views(this.scratch);
  }

  /**
   * The first `length` bytes of the scratch and the request now belong to libuv, until the write completes. Only
   * those bytes are given up, so that many slow readers don't pin a whole scratch each.
   */
  giveRequest(scratchLength: number): void {
    this.request = new this.binding.stream.WriteWrap();
    if (scratchLength === 0) return;
    this.#slabUsed += (scratchLength + 63) & ~63;
    if (this.#slabUsed + SCRATCH_BYTES > SLAB_BYTES) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#slabUsed = 0;
    }
    this.scratch = this.#slab.subarray(this.#slabUsed, this.#slabUsed + SCRATCH_BYTES);
    this.scratchViews = new Views(this.scratch);
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
}
