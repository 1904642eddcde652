import { CLASS, TARGET, TOKEN, VALUE } from "../../http1/syntax.ts";
import { kindOf } from "../field-kind.ts";
import { STATIC_ENTRIES, STATIC_NAME_INDEX } from "./static-table.ts";

/**
 * A header field. Strings hold octets as latin1 code units, so that any octets survive both ways. Equal fields are
 * mostly the same object (see `field`), and never compare unequal for it: identity is for speed only.
 */
export interface Field {
  readonly name: string;
  readonly value: string;
  /** Octets of name and value and 32 (RFC 7541 section 4.1, RFC 9113 section 6.5.2). */
  readonly size: number;
  /** Index in the static table that has both name and value, else 0. */
  readonly staticIndex: number;
  /** Lowest index in the static table that has the name, else 0. */
  readonly nameIndex: number;
  /** Sent as a literal that no hop may put into a table (RFC 7541 section 7.1.3). */
  readonly neverIndexed: boolean;
  /**
   * What RFC 9113 section 8.2.1 asks of every field: a lower-case token as name (after one colon for pseudo-header
   * fields), no control characters in the value but HTAB, and neither SP nor HTAB at its ends. A `:method` is a
   * token, a `:scheme` one of RFC 3986, a `:path` visible ASCII without "#", as in HTTP/1.1.
   */
  readonly wellFormed: boolean;
  /** What it is to a proxy: one of field-kind.ts. */
  readonly kind: number;
  /** Small integer that spreads fields over tables; not unique for ever. */
  readonly serial: number;
}

const METHOD = 2;
const PATH = 4;
const SCHEME = 6;
const AUTHORIZATION = 23;
const COOKIE = 32;
const PROXY_AUTHORIZATION = 49;
/** Shorter cookies are few enough to be guessed through the sizes that a shared table makes (RFC 7541 section 7.1). */
const MIN_INDEXED_COOKIE = 20;
const MAX_INTERNED_VALUE = 256;
const MAX_INTERNED_NAME = 64;
const HTAB = 9;
const SP = 32;
const COLON = 58;

function isName(name: string): boolean {
  let i = name.charCodeAt(0) === COLON ? 1 : 0;
  if (i === name.length) return false;
  for (; i < name.length; i++) {
    const c = name.charCodeAt(i);
    if (((CLASS[c] as number) & TOKEN) === 0 || (c >= 65 && c <= 90)) return false;
  }
  return true;
}

function isValue(value: string): boolean {
  if (value === "") return true;
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(value.length - 1);
  if (first === SP || first === HTAB || last === SP || last === HTAB) return false;
  return isOf(VALUE, value);
}

/** Whether all of `value`, which may be empty, is of a class of octets. */
function isOf(flag: number, value: string): boolean {
  for (let i = 0; i < value.length; i++) if (((CLASS[value.charCodeAt(i)] as number) & flag) === 0) return false;
  return true;
}

function isWellFormed(nameIndex: number, name: string, value: string): boolean {
  switch (nameIndex) {
    case METHOD:
      return isOf(TOKEN, value);
    case PATH:
      return isOf(TARGET, value);
    case SCHEME:
      return /^(?:[a-z][a-z0-9+.-]*)?$/i.test(value);
    case 0:
      return isName(name) && isValue(value);
    default:
      return isValue(value);
  }
}

function isSecret(nameIndex: number, value: string): boolean {
  if (nameIndex === COOKIE) return value.length < MIN_INDEXED_COOKIE;
  return nameIndex === AUTHORIZATION || nameIndex === PROXY_AUTHORIZATION;
}

/** The index that has the value, of those from `nameIndex` that have the name; 0 where none has. */
function staticIndexOf(nameIndex: number, name: string, value: string): number {
  for (let index = nameIndex; STATIC_ENTRIES[index - 1]?.[0] === name; index++) {
    if (STATIC_ENTRIES[index - 1]?.[1] === value) return index;
  }
  return 0;
}

/**
 * Fields by name and value, the least recently used forgotten first, roughly: when the young generation is full it
 * becomes the old one, and what is asked for moves back. Holds at most twice `generation` fields.
 */
class FieldTable {
  readonly #generation: number;
  readonly #static = new Map<string, Field>();
  #young = new Map<string, Field>();
  #old = new Map<string, Field>();
  #serial = 0;

  constructor(generation: number) {
    this.#generation = generation;
  }

  /** Makes a field of the static table, and finds it from now on. */
  addStatic(name: string, value: string): Field {
    const added = this.create(name, value, false);
    this.#static.set(`${name}\0${value}`, added);
    return added;
  }

  get(name: string, value: string, neverIndexed: boolean): Field {
    if (value.length > MAX_INTERNED_VALUE || name.length > MAX_INTERNED_NAME) {
      return this.create(name, value, neverIndexed);
    }
    // A name with NUL in it could pass for another name and the start of a value; it is malformed and never interned.
    const key = `${name}\0${value}`;
    const fixed = this.#static.get(key);
    if (fixed !== undefined && fixed.name === name) {
      return neverIndexed ? this.create(name, value, true) : fixed;
    }
    if (neverIndexed) return this.create(name, value, true);
    const young = this.#young.get(key);
    if (young !== undefined && young.name === name) return young;
    const old = this.#old.get(key);
    const wanted = old !== undefined && old.name === name ? old : this.create(name, value, false);
    if (!wanted.wellFormed || wanted.neverIndexed) return wanted;
    if (this.#young.size >= this.#generation) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, wanted);
    return wanted;
  }

  /** A new field, known nowhere. */
  create(name: string, value: string, neverIndexed: boolean): Field {
    const nameIndex = STATIC_NAME_INDEX.get(name) ?? 0;
    const staticIndex = nameIndex === 0 ? 0 : staticIndexOf(nameIndex, name, value);
    this.#serial = (this.#serial + 1) & 0x3fff_ffff;
    return {
      name,
      value,
      size: name.length + value.length + 32,
      staticIndex,
      nameIndex,
      neverIndexed: neverIndexed || (staticIndex === 0 && isSecret(nameIndex, value)),
      kind: kindOf(name),
      wellFormed: isWellFormed(nameIndex, name, value),
      serial: this.#serial,
    };
  }
}

// Shared by all connections, so that a field decoded on one is found by identity in the encoder of another. What it
// holds changes no result, only who gets the same object.
const FIELDS = new FieldTable(2048);

/** The fields of the static table by index minus 1. */
export const STATIC_FIELDS: readonly Field[] = STATIC_ENTRIES.map(([name, value]) => FIELDS.addStatic(name, value));

/**
 * The field of `name` and `value` (octets as latin1 code units; nothing is checked, see `wellFormed`). Equal fields
 * are the same object as long as they are in use, but for long values, malformed and never-indexed ones. Credentials
 * (authorization, proxy-authorization, short cookies) are never indexed whatever is asked.
 */
export function field(name: string, value: string, neverIndexed = false): Field {
  return FIELDS.get(name, value, neverIndexed);
}

/** The same as a new object, without the cost of looking for it: for what will hardly come again. */
export function freshField(name: string, value: string, neverIndexed: boolean): Field {
  return FIELDS.create(name, value, neverIndexed);
}
