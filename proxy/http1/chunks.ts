import { INCOMPLETE, MALFORMED } from "./head.ts";
import { CLASS, HEX, TOKEN, VALUE } from "./syntax.ts";

/** Where a scan of a chunked body stands (RFC 9112 section 7.1). */
export interface ChunkState {
  step: number;
  /** Octets of the chunk that are still to come. */
  left: number;
  /** Hexadecimal digits of the size so far. */
  digits: number;
  /** Octets of extensions and trailers so far; bounded over the whole message. */
  extra: number;
  /** How much of `x-causeway-` the trailer's name has matched; -1: it differs. */
  match: number;
}

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER = 6;
const TRAILER_NAME = 7;
const TRAILER_VALUE = 8;
const TRAILER_LF = 9;
const FINAL_LF = 10;

const MAX_DIGITS = 12;
const MAX_EXTRA = 16_384;
const OURS = Uint8Array.from(Buffer.from("x-causeway-"));

export function createChunkState(): ChunkState {
  return { step: SIZE, left: 0, digits: 0, extra: 0, match: 0 };
}

export function resetChunkState(state: ChunkState): void {
  state.step = SIZE;
  state.left = 0;
  state.digits = 0;
  state.extra = 0;
  state.match = 0;
}

/**
 * Follows the framing of a chunked body through `b[from, end)` without copying. Returns the index after the end of
 * the message, INCOMPLETE where more is to come, or MALFORMED. Trailers called `x-causeway-*` are malformed: a body
 * is not rewritten, and no outsider may speak for the mesh.
 */
export function scanChunks(state: ChunkState, b: Uint8Array, from: number, end: number): number {
  let i = from;
  while (i < end) {
    const c = b[i] as number;
    switch (state.step) {
      case SIZE:
        if (((CLASS[c] as number) & HEX) !== 0) {
          if (++state.digits > MAX_DIGITS) return MALFORMED;
          state.left = state.left * 16 + (c <= 57 ? c - 48 : (c | 32) - 87);
        } else if (state.digits === 0) return MALFORMED;
        else if (c === 13) state.step = SIZE_LF;
        else if (c === 59) state.step = EXTENSION;
        else return MALFORMED;
        i++;
        break;
      case EXTENSION:
        if (c === 13) state.step = SIZE_LF;
        else if (((CLASS[c] as number) & VALUE) === 0 || ++state.extra > MAX_EXTRA) return MALFORMED;
        i++;
        break;
      case SIZE_LF:
        if (c !== 10) return MALFORMED;
        state.step = state.left === 0 ? TRAILER : DATA;
        i++;
        break;
      case DATA: {
        const here = end - i;
        if (here < state.left) {
          state.left -= here;
          return INCOMPLETE;
        }
        i += state.left;
        state.left = 0;
        state.step = DATA_CR;
        break;
      }
      case DATA_CR:
        if (c !== 13) return MALFORMED;
        state.step = DATA_LF;
        i++;
        break;
      case DATA_LF:
        if (c !== 10) return MALFORMED;
        state.step = SIZE;
        state.digits = 0;
        i++;
        break;
      case TRAILER:
        if (c === 13) state.step = FINAL_LF;
        else if (((CLASS[c] as number) & TOKEN) === 0) return MALFORMED;
        else {
          state.step = TRAILER_NAME;
          state.match = 0;
          break;
        }
        i++;
        break;
      case TRAILER_NAME:
        if (c === 58) state.step = TRAILER_VALUE;
        else if (((CLASS[c] as number) & TOKEN) === 0 || ++state.extra > MAX_EXTRA) return MALFORMED;
        else if (state.match >= 0) {
          const lower = c === 95 ? 45 : c >= 65 && c <= 90 ? c | 32 : c;
          state.match = lower === OURS[state.match] ? state.match + 1 : -1;
          if (state.match === OURS.length) return MALFORMED;
        }
        i++;
        break;
      case TRAILER_VALUE:
        if (c === 13) state.step = TRAILER_LF;
        else if (((CLASS[c] as number) & VALUE) === 0 || ++state.extra > MAX_EXTRA) return MALFORMED;
        i++;
        break;
      case TRAILER_LF:
        if (c !== 10) return MALFORMED;
        state.step = TRAILER;
        i++;
        break;
      default:
        return c === 10 ? i + 1 : MALFORMED;
    }
  }
  return INCOMPLETE;
}
