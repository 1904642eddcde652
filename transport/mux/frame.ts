// What goes over a multiplexed connection: frames of an 8-byte header (stream id in 32 bits, type in 8, value in 24,
// big-endian) and, for data alone, as many bytes of payload as the value says. Only the side that dialled opens streams;
// their ids count up from 1.

export const HEADER_BYTES = 8;

/** Payload of a stream. */
export const DATA = 0;
/** The last payload of a stream in this direction; may be empty. */
export const END = 1;
/** A new stream, with the id after the last one. */
export const OPEN = 2;
/** The stream is no more, in both directions. The value says how: one of the RESET_ values. */
export const RESET = 3;
/** So many bytes more may be sent on the stream. */
export const WINDOW = 4;
/** The sender has more, but no credit: a larger window would help. At most once for each WINDOW. */
export const BLOCKED = 5;
/** To be answered with PONG and the same value. */
export const PING = 6;
export const PONG = 7;
/** Streams after this id were not and will not be taken up; those up to it go on. */
export const GOAWAY = 8;

/** All that was sent before counts. */
export const RESET_CLOSED = 0;
/** As the RST of TCP. */
export const RESET_BROKEN = 1;
/** Of the side that accepts: what was sent on the stream since its last answer, if anything, was not read. */
export const RESET_REFUSED = 2;

/** Of a frame's payload. */
export const MAX_PAYLOAD = 65_535;
/** Ids end here: another connection goes on. */
export const MAX_ID = 0x7fff_ffff;

/** Writes a frame's header at `at`; returns the index after it. */
export function putHeader(out: Buffer, at: number, id: number, type: number, value: number): number {
  out[at] = id >>> 24;
  out[at + 1] = id >>> 16;
  out[at + 2] = id >>> 8;
  out[at + 3] = id;
  out[at + 4] = type;
  out[at + 5] = value >>> 16;
  out[at + 6] = value >>> 8;
  out[at + 7] = value;
  return at + HEADER_BYTES;
}

/** The 32 bits at `at`, unsigned. */
export function idAt(b: Buffer, at: number): number {
  return (
    (((b[at] as number) << 24) |
      ((b[at + 1] as number) << 16) |
      ((b[at + 2] as number) << 8) |
      (b[at + 3] as number)) >>>
    0
  );
}

/** The value of the header that begins at `at`. */
export function valueAt(b: Buffer, at: number): number {
  return ((b[at + 5] as number) << 16) | ((b[at + 6] as number) << 8) | (b[at + 7] as number);
}
