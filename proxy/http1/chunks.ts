import { INCOMPLETE, MALFORMED } from "./head.ts";
import { ascii, CLASS, HEX, TOKEN, VALUE } from "./syntax.ts";

/** Where a scan of a chunked body stands (RFC 9112 section 7.1). */
export interface ChunkState {
  step: number;
  /** Octets of the chunk that are still to come. */
  left: number;
  /** Hexadecimal digits of the size so far. */
  digits: number;
  /** Octets of extensions and trailers so far; bounded over the whole message. */
  extra: number;
  /** Octets of the trailer's name so far, and the names in REFUSED that begin like it, as a bit set. */
  nameLength: number;
  candidates: number;
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
const EXTENSION_NAME = 11;
const EXTENSION_VALUE = 12;
const EXTENSION_TOKEN = 13;
const EXTENSION_QUOTED = 14;
const EXTENSION_ESCAPE = 15;
const EXTENSION_END = 16;

const MAX_DIGITS = 12;
const MAX_EXTRA = 16_384;
const OURS = ascii("x-causeway-");
/**
 * Names that no trailer may have: who merges trailers into the head, as some do, would frame or route the message
 * otherwise (RFC 9110 section 6.5.1), or take the client's word for the mesh's. The last stands for all that begin so.
 */
const REFUSED = [
  ...["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"],
]
  .map(ascii)
  .concat(OURS);
const ALL = (1 << REFUSED.length) - 1;
const OURS_BIT = 1 << (REFUSED.length - 1);

/** The candidates whose octet at `index` is `c`, in either case, an underscore counting as a hyphen. */
function narrow(candidates: number, index: number, c: number): number {
  const lower = c === 95 ? 45 : c >= 65 && c <= 90 ? c | 32 : c;
  let left = 0;
  for (let i = 0; i < REFUSED.length; i++) {
    if (((candidates >>> i) & 1) === 1 && REFUSED[i]?.[index] === lower) left |= 1 << i;
  }
  return left;
}

/** Whether the name that has ended is one of the candidates. */
function refused(state: ChunkState): boolean {
  for (let i = 0; i < REFUSED.length; i++) {
    if (((state.candidates >>> i) & 1) === 1 && REFUSED[i]?.length === state.nameLength) return true;
  }
  return false;
}

/**
 * The step after `c` in a chunk's extensions, `;name[=value]` often, the value a token or quoted (RFC 9112 section
 * 7.1.1); negative where it cannot be there. Blanks between are for old clients, and none are known to send them.
 */
function stepOfExtension(step: number, c: number): number {
  const flags = CLASS[c] as number;
  switch (step) {
    case EXTENSION:
      return (flags & TOKEN) !== 0 ? EXTENSION_NAME : MALFORMED;
    case EXTENSION_VALUE:
      if (c === 34) return EXTENSION_QUOTED;
      return (flags & TOKEN) !== 0 ? EXTENSION_TOKEN : MALFORMED;
    case EXTENSION_QUOTED:
      if (c === 34) return EXTENSION_END;
      if (c === 92) return EXTENSION_ESCAPE;
      return (flags & VALUE) !== 0 ? EXTENSION_QUOTED : MALFORMED;
    case EXTENSION_ESCAPE:
      return (flags & VALUE) !== 0 ? EXTENSION_QUOTED : MALFORMED;
    default:
      if (c === 13) return SIZE_LF;
      if (c === 59) return EXTENSION;
      if (step === EXTENSION_END) return MALFORMED;
      if (c === 61 && step === EXTENSION_NAME) return EXTENSION_VALUE;
      return (flags & TOKEN) !== 0 ? step : MALFORMED;
  }
}

export function createChunkState(): ChunkState {
  return { step: SIZE, left: 0, digits: 0, extra: 0, nameLength: 0, candidates: 0 };
}

export function resetChunkState(state: ChunkState): void {
  state.step = SIZE;
  state.left = 0;
  state.digits = 0;
  state.extra = 0;
  state.nameLength = 0;
  state.candidates = 0;
}

/**
 * Follows the framing of a chunked body through `b[from, end)` without copying. Returns the index after the end of
 * the message, INCOMPLETE where more is to come, or MALFORMED. Trailers that frame or route a message are malformed, and
 * so are those called `x-causeway-*`: a body is not rewritten.
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
      case EXTENSION_NAME:
      case EXTENSION_VALUE:
      case EXTENSION_TOKEN:
      case EXTENSION_QUOTED:
      case EXTENSION_ESCAPE:
      case EXTENSION_END:
        state.step = stepOfExtension(state.step, c);
        if (state.step < 0 || ++state.extra > MAX_EXTRA) return MALFORMED;
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
          state.nameLength = 0;
          state.candidates = ALL;
          break;
        }
        i++;
        break;
      case TRAILER_NAME:
        if (c === 58) {
          if (refused(state)) return MALFORMED;
          state.step = TRAILER_VALUE;
        } else if (((CLASS[c] as number) & TOKEN) === 0 || ++state.extra > MAX_EXTRA) return MALFORMED;
        else if (state.candidates !== 0) {
          state.candidates = narrow(state.candidates, state.nameLength++, c);
          if (state.nameLength === OURS.length && (state.candidates & OURS_BIT) !== 0) return MALFORMED;
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
