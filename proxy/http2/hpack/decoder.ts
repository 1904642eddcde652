import { type Field, field, freshField, STATIC_FIELDS } from "./field.ts";
import { decodeHuffman, maxDecodedBytes } from "./huffman.ts";
import { LiteralCache } from "./literal-cache.ts";
import { STATIC_COUNT } from "./static-table.ts";

/** The table is out of step with the peer's: the connection is lost (COMPRESSION_ERROR, RFC 7541 section 2.2). */
export const HPACK_ERROR = -1;
/** The list is over the limit; the table is as it should be, and the connection can go on. */
export const HPACK_TOO_LARGE = -2;

const DEFAULT_TABLE_BYTES = 4096;
/** Integers end with the fourth octet after the prefix at most: 2^28 is far over every limit (section 5.1). */
const MAX_INTEGER_SHIFT = 21;

/** The prefix of a literal's index, where it goes into the table. */
const INDEXING_MASK = 0x3f;

// Decoding is synchronous and takes the octets out at once, so that all decoders share this.
const SCRATCH = Buffer.allocUnsafeSlow(8192);
// Shared too, so that fields of different connections are mostly the same objects. It changes no result.
const LITERALS = new LiteralCache();

/** Undefined where the Huffman code is wrong. */
function text(b: Buffer, from: number, to: number, huffman: boolean): string | undefined {
  if (!huffman) return b.toString("latin1", from, to);
  const room = maxDecodedBytes(to - from);
  const into = room > SCRATCH.length ? Buffer.allocUnsafeSlow(room) : SCRATCH;
  const length = decodeHuffman(b, from, to, into);
  return length < 0 ? undefined : into.toString("latin1", 0, length);
}

/** One direction's decoder of header blocks (RFC 7541), with its dynamic table. */
export class HpackDecoder {
  /** What our SETTINGS_HEADER_TABLE_SIZE says. */
  readonly #limit: number;
  #maxBytes: number;
  #bytes = 0;
  /** The dynamic table, a ring; the newest entry is before `#next`. */
  #ring: (Field | undefined)[];
  #next = 0;
  #count = 0;
  /** Where reading stands. */
  #at = 0;
  /** Of the last string: where its octets start, which end at `#at`, and whether they are Huffman code. */
  #from = 0;
  #huffman = false;

  /**
   * `maxTableBytes` is what the peer has been told in SETTINGS_HEADER_TABLE_SIZE. The table starts with that, though
   * never with more than 4,096 octets, and grows past them when the peer says so.
   */
  constructor(maxTableBytes = DEFAULT_TABLE_BYTES) {
    this.#limit = maxTableBytes;
    this.#maxBytes = Math.min(maxTableBytes, DEFAULT_TABLE_BYTES);
    let slots = 1;
    while (slots * 32 < maxTableBytes) slots *= 2;
    this.#ring = new Array<Field | undefined>(slots).fill(undefined);
  }

  /** Octets in the dynamic table, as RFC 7541 section 4.1 counts them. */
  get tableBytes(): number {
    return this.#bytes;
  }

  /**
   * Decodes the whole header block `b[start, end)` and appends its fields to `out`. Returns the size of the list
   * (RFC 9113 section 6.5.2), HPACK_ERROR, or HPACK_TOO_LARGE where that passes `maxListBytes`; then the fields up to
   * there are in `out`, so at most maxListBytes / 32 of them. Never throws.
   */
  decode(b: Buffer, start: number, end: number, out: Field[], maxListBytes: number): number {
    let listBytes = 0;
    let tooLarge = false;
    let first = true;
    this.#at = start;
    while (this.#at < end) {
      const octet = b[this.#at] as number;
      let next: Field | undefined;
      if (octet >= 0x80) {
        next = this.#lookUp(this.#integer(b, end, 0x7f));
      } else if (octet >= 0x40) {
        next = this.#literal(b, end, INDEXING_MASK, false);
        if (next !== undefined) this.#insert(next);
      } else if (octet >= 0x20) {
        const size = this.#integer(b, end, 0x1f);
        if (!first || size < 0 || size > this.#limit) return HPACK_ERROR;
        this.#maxBytes = size;
        this.#evict(0);
        continue;
      } else {
        next = this.#literal(b, end, 0x0f, octet >= 0x10);
      }
      if (next === undefined) return HPACK_ERROR;
      first = false;
      if (tooLarge) continue;
      listBytes += next.size;
      if (listBytes > maxListBytes) tooLarge = true;
      else out.push(next);
    }
    return tooLarge ? HPACK_TOO_LARGE : listBytes;
  }

  /** The integer whose prefix of `mask` is at `#at`, or -1 where it is cut off or too large. */
  #integer(b: Buffer, end: number, mask: number): number {
    let value = (b[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= MAX_INTEGER_SHIFT; shift += 7) {
      if (this.#at >= end) return -1;
      const octet = b[this.#at++] as number;
      value += (octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
    return -1;
  }

  /** Finds the string at `#at`, which is then after it. False where it is cut off. */
  #string(b: Buffer, end: number): boolean {
    if (this.#at >= end) return false;
    this.#huffman = (b[this.#at] as number) >= 0x80;
    const length = this.#integer(b, end, 0x7f);
    if (length < 0 || length > end - this.#at) return false;
    this.#from = this.#at;
    this.#at += length;
    return true;
  }

  #literal(b: Buffer, end: number, mask: number, neverIndexed: boolean): Field | undefined {
    const index = this.#integer(b, end, mask);
    const start = this.#at;
    let name: string | undefined = "";
    let huffman = false;
    let from = 0;
    let to = 0;
    if (index !== 0) {
      name = this.#lookUp(index)?.name;
      if (name === undefined) return undefined;
    } else {
      if (!this.#string(b, end)) return undefined;
      huffman = this.#huffman;
      from = this.#from;
      to = this.#at;
    }
    if (!this.#string(b, end)) return undefined;
    if (!neverIndexed) {
      const known = LITERALS.get(name, b, start, this.#at);
      if (known !== undefined) return known;
    }
    const fullName = index !== 0 ? name : text(b, from, to, huffman);
    const value = text(b, this.#from, this.#at, this.#huffman);
    if (fullName === undefined || value === undefined) return undefined;
    // Interned only where it will be used again: most literals without indexing come once.
    const decoded = mask === INDEXING_MASK ? field(fullName, value) : freshField(fullName, value, neverIndexed);
    if (!decoded.neverIndexed) LITERALS.put(decoded, name, b, start, this.#at);
    return decoded;
  }

  /** The entry at an index of both tables (RFC 7541 section 2.3.3); undefined for 0, -1 and what is past the end. */
  #lookUp(index: number): Field | undefined {
    if (index <= STATIC_COUNT) return STATIC_FIELDS[index - 1];
    const age = index - STATIC_COUNT;
    if (age > this.#count) return undefined;
    return this.#ring[(this.#next - age) & (this.#ring.length - 1)];
  }

  /** Adds an entry; one larger than the table empties it, which is no error (RFC 7541 section 4.4). */
  #insert(added: Field): void {
    this.#evict(added.size);
    if (added.size > this.#maxBytes) return;
    this.#ring[this.#next] = added;
    this.#next = (this.#next + 1) & (this.#ring.length - 1);
    this.#count++;
    this.#bytes += added.size;
  }

  /** Drops the oldest entries until `room` octets are free, or the table is empty. */
  #evict(room: number): void {
    const mask = this.#ring.length - 1;
    while (this.#count > 0 && this.#bytes + room > this.#maxBytes) {
      const oldest = (this.#next - this.#count) & mask;
      this.#bytes -= this.#ring[oldest]?.size ?? 0;
      this.#ring[oldest] = undefined;
      this.#count--;
    }
  }
}
