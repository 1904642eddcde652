import type { Field } from "./field.ts";

const SETS = 1024;
const SLOT_BYTES = 96;

/**
 * Fields by the octets that they came as, so that a literal sent again and again (paths mostly: many encoders never
 * index them) costs one hash and one comparison, no string. Two places for each hash; the one used last stays.
 */
export class LiteralCache {
  readonly #fields = new Array<Field | undefined>(SETS * 2).fill(undefined);
  /** The name that the octets leave out, else "". */
  readonly #names = new Array<string>(SETS * 2).fill("");
  readonly #octets = new Uint8Array(SETS * 2 * SLOT_BYTES);
  readonly #lengths = new Uint8Array(SETS * 2);
  /** Which of a set's places was used last. */
  readonly #recent = new Uint8Array(SETS);
  /** Of the last `get`, for `put`. */
  #set = 0;

  /**
   * The field that was put for `name` (where it came as an index, else "") and the octets `b[from, to)`. Undefined:
   * not known; `put` then takes what it is, if those are few enough for that to make sense.
   */
  get(name: string, b: Uint8Array, from: number, to: number): Field | undefined {
    const length = to - from;
    if (length > SLOT_BYTES) return undefined;
    let hash = name.length;
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ (b[i] as number), 0x0100_0193);
    const set = (hash ^ (hash >>> 15)) & (SETS - 1);
    this.#set = set;
    const recent = this.#recent[set] as number;
    if (this.#holds(set * 2 + recent, name, b, from, length)) return this.#fields[set * 2 + recent];
    const other = recent ^ 1;
    if (!this.#holds(set * 2 + other, name, b, from, length)) return undefined;
    this.#recent[set] = other;
    return this.#fields[set * 2 + other];
  }

  /** Keeps `added` for what the last `get` did not find. */
  put(added: Field, name: string, b: Uint8Array, from: number, to: number): void {
    if (to - from > SLOT_BYTES) return;
    const place = (this.#recent[this.#set] as number) ^ 1;
    const slot = this.#set * 2 + place;
    this.#recent[this.#set] = place;
    this.#fields[slot] = added;
    this.#names[slot] = name;
    this.#lengths[slot] = to - from;
    for (let i = from, at = slot * SLOT_BYTES; i < to; i++, at++) this.#octets[at] = b[i] as number;
  }

  #holds(slot: number, name: string, b: Uint8Array, from: number, length: number): boolean {
    if (this.#lengths[slot] !== length || this.#names[slot] !== name) return false;
    const octets = this.#octets;
    const at = slot * SLOT_BYTES;
    for (let i = 0; i < length; i++) if (octets[at + i] !== b[from + i]) return false;
    return true;
  }
}
