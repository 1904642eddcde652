import type { Field } from "./field.ts";
import { encodeHuffman } from "./huffman.ts";
import { STATIC_COUNT } from "./static-table.ts";

const MAX_TABLE_BYTES = 4096;
/** Entries have 32 octets at least, so that the table never has more. */
const RING_MASK = MAX_TABLE_BYTES / 32 - 1;
const SEEN_MASK = 63;
/**
 * Longer strings go as they are: a copy costs far less CPU than the fifth of their octets that Huffman saves. And the
 * length of this one takes two octets, no more.
 */
const MAX_HUFFMAN = 254;
/** Two table size updates of 3 octets each are the most that a block starts with. */
const MAX_UPDATES_BYTES = 6;

const INDEXED = 0x80;
const WITH_INDEXING = 0x40;
const SIZE_UPDATE = 0x20;
const NEVER_INDEXED = 0x10;
const HUFFMAN = 0x80;

/** Names whose values mostly differ from one message to the next: a single sight is no reason to index them. */
const CHANGING: ReadonlySet<string> = new Set([
  ":path",
  "age",
  "baggage",
  "content-length",
  "content-range",
  "etag",
  "grpc-timeout",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "range",
  "retry-after",
  "set-cookie",
  "traceparent",
  "tracestate",
  "x-request-id",
]);

/**
 * One direction's encoder of header blocks (RFC 7541), with its dynamic table of at most 4,096 octets. It knows fields
 * by identity. One that changes often, or whose insertion would drop others, is indexed only when it comes again.
 */
export class HpackEncoder {
  #maxBytes = MAX_TABLE_BYTES;
  #bytes = 0;
  /** The dynamic table, a ring: entry number n is at n & RING_MASK, and lives from `#oldest` to before `#next`. */
  readonly #ring: (Field | undefined)[] = new Array<Field | undefined>(RING_MASK + 1).fill(undefined);
  #next = 0;
  #oldest = 0;
  /** The number of the entry that is this field, and of the newest one with this name. */
  readonly #fields = new Map<Field, number>();
  readonly #names = new Map<string, number>();
  /** Fields that were lately sent as literals, by their serial number. */
  readonly #seen: (Field | undefined)[] = new Array<Field | undefined>(SEEN_MASK + 1).fill(undefined);
  /** The size that the peer has last been told. */
  #toldBytes = MAX_TABLE_BYTES;
  /** The lowest limit since the last block. */
  #lowest = MAX_TABLE_BYTES;

  /** Octets in the dynamic table, as RFC 7541 section 4.1 counts them. */
  get tableBytes(): number {
    return this.#bytes;
  }

  /**
   * Takes the peer's SETTINGS_HEADER_TABLE_SIZE; over 4,096 octets no use is made of it. The next block starts with
   * what the peer has to be told (RFC 7541 section 4.2).
   */
  setMaxTableBytes(n: number): void {
    this.#maxBytes = Math.min(n, MAX_TABLE_BYTES);
    this.#lowest = Math.min(this.#lowest, this.#maxBytes);
    this.#evict(0);
  }

  /**
   * Writes the header block of the first `count` of `fields` to `out` at `at`. Returns the index after it, or -1
   * where it might not fit; then nothing has changed. Room for the fields' sizes and 6 octets is always enough.
   */
  encode(fields: readonly Field[], count: number, out: Buffer, at: number): number {
    let room = MAX_UPDATES_BYTES;
    for (let i = 0; i < count; i++) room += (fields[i] as Field).size;
    if (at + room > out.length) return -1;
    let p = at;
    if (this.#lowest < this.#toldBytes || this.#maxBytes !== this.#toldBytes) p = this.#writeUpdates(out, p);
    for (let i = 0; i < count; i++) {
      const next = fields[i] as Field;
      if (next.neverIndexed) p = this.#writeLiteral(next, NEVER_INDEXED, 0x0f, out, p);
      else if (next.staticIndex > 0) out[p++] = INDEXED | next.staticIndex;
      else {
        const entry = this.#fields.get(next);
        if (entry !== undefined) p = writeInteger(out, p, INDEXED, 0x7f, STATIC_COUNT + this.#next - entry);
        else if (!this.#isWorthIndexing(next)) p = this.#writeLiteral(next, 0, 0x0f, out, p);
        else {
          // The name may refer to an entry that the insertion then drops (RFC 7541 section 4.4).
          p = this.#writeLiteral(next, WITH_INDEXING, 0x3f, out, p);
          this.#insert(next);
        }
      }
    }
    return p;
  }

  #writeUpdates(out: Buffer, at: number): number {
    let p = at;
    if (this.#lowest < Math.min(this.#toldBytes, this.#maxBytes)) {
      p = writeInteger(out, p, SIZE_UPDATE, 0x1f, this.#lowest);
    }
    this.#toldBytes = this.#maxBytes;
    this.#lowest = this.#maxBytes;
    return writeInteger(out, p, SIZE_UPDATE, 0x1f, this.#maxBytes);
  }

  /** Whether to index a field that the table lacks; remembers it where not, so that the next time it is. */
  #isWorthIndexing(next: Field): boolean {
    // One so large would drop most of the others.
    if (next.size * 4 > this.#maxBytes * 3) return false;
    if (this.#bytes + next.size <= this.#maxBytes && !CHANGING.has(next.name)) return true;
    const slot = next.serial & SEEN_MASK;
    if (this.#seen[slot] === next) {
      this.#seen[slot] = undefined;
      return true;
    }
    this.#seen[slot] = next;
    return false;
  }

  #writeLiteral(next: Field, flags: number, mask: number, out: Buffer, at: number): number {
    if (next.nameIndex > 0) return writeString(out, writeInteger(out, at, flags, mask, next.nameIndex), next.value);
    const entry = this.#names.get(next.name);
    if (entry !== undefined) {
      return writeString(out, writeInteger(out, at, flags, mask, STATIC_COUNT + this.#next - entry), next.value);
    }
    out[at] = flags;
    return writeString(out, writeString(out, at + 1, next.name), next.value);
  }

  #insert(added: Field): void {
    this.#evict(added.size);
    this.#ring[this.#next & RING_MASK] = added;
    this.#fields.set(added, this.#next);
    if (added.nameIndex === 0) this.#names.set(added.name, this.#next);
    this.#next++;
    this.#bytes += added.size;
  }

  /** Drops the oldest entries until `room` octets are free, or the table is empty. */
  #evict(room: number): void {
    while (this.#oldest < this.#next && this.#bytes + room > this.#maxBytes) {
      const slot = this.#oldest & RING_MASK;
      const dropped = this.#ring[slot] as Field;
      this.#ring[slot] = undefined;
      this.#fields.delete(dropped);
      if (this.#names.get(dropped.name) === this.#oldest) this.#names.delete(dropped.name);
      this.#bytes -= dropped.size;
      this.#oldest++;
    }
  }
}

function writeInteger(out: Buffer, at: number, flags: number, mask: number, value: number): number {
  let p = at;
  if (value < mask) {
    out[p++] = flags | value;
    return p;
  }
  out[p++] = flags | mask;
  let left = value - mask;
  for (; left > 0x7f; left >>>= 7) out[p++] = (left & 0x7f) | 0x80;
  out[p++] = left;
  return p;
}

/** Writes Huffman code where it is no longer than the octets. */
function writeString(out: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length > 0 && length <= MAX_HUFFMAN) {
    // The length in front takes one octet up to 126, and two up to here, whatever the code saves.
    const prefix = length < 0x7f ? 1 : 2;
    const end = encodeHuffman(text, out, at + prefix, length);
    if (end >= 0) {
      const coded = end - at - prefix;
      if (prefix === 1) {
        out[at] = HUFFMAN | coded;
        return end;
      }
      if (coded >= 0x7f) {
        writeInteger(out, at, HUFFMAN, 0x7f, coded);
        return end;
      }
      out.copyWithin(at + 1, at + 2, end);
      out[at] = HUFFMAN | coded;
      return end - 1;
    }
  }
  const from = writeInteger(out, at, 0, 0x7f, length);
  out.write(text, from, length, "latin1");
  return from + length;
}
