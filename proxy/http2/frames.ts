// Frames in place (RFC 9113 sections 4 and 6): a frame is an offset into a buffer, and nothing here allocates.

export const FRAME_DATA = 0;
export const FRAME_HEADERS = 1;
export const FRAME_PRIORITY = 2;
export const FRAME_RST_STREAM = 3;
export const FRAME_SETTINGS = 4;
export const FRAME_PUSH_PROMISE = 5;
export const FRAME_PING = 6;
export const FRAME_GOAWAY = 7;
export const FRAME_WINDOW_UPDATE = 8;
export const FRAME_CONTINUATION = 9;

/** On DATA and HEADERS. */
export const FLAG_END_STREAM = 0x1;
/** On SETTINGS and PING. */
export const FLAG_ACK = 0x1;
/** On HEADERS, PUSH_PROMISE and CONTINUATION. */
export const FLAG_END_HEADERS = 0x4;
/** On DATA, HEADERS and PUSH_PROMISE. */
export const FLAG_PADDED = 0x8;
/** On HEADERS. */
export const FLAG_PRIORITY = 0x20;

// Error codes (RFC 9113 section 7).
export const NO_ERROR = 0x0;
export const PROTOCOL_ERROR = 0x1;
export const INTERNAL_ERROR = 0x2;
export const FLOW_CONTROL_ERROR = 0x3;
export const SETTINGS_TIMEOUT = 0x4;
export const STREAM_CLOSED = 0x5;
export const FRAME_SIZE_ERROR = 0x6;
export const REFUSED_STREAM = 0x7;
export const CANCEL = 0x8;
export const COMPRESSION_ERROR = 0x9;
export const CONNECT_ERROR = 0xa;
export const ENHANCE_YOUR_CALM = 0xb;
export const INADEQUATE_SECURITY = 0xc;
export const HTTP_1_1_REQUIRED = 0xd;

/** The names of error codes, by code. */
export const ERROR_NAMES: readonly string[] = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

/** Octets in front of every frame's payload. */
export const FRAME_HEADER_BYTES = 9;
/** Longest payload where SETTINGS_MAX_FRAME_SIZE says nothing else. */
export const DEFAULT_MAX_FRAME_BYTES = 16_384;
/** Largest flow-control window, and largest increment of one (section 6.9.1). */
export const MAX_WINDOW_BYTES = 0x7fff_ffff;
export const MAX_STREAM_ID = 0x7fff_ffff;

/** What a client sends first (section 3.4); its SETTINGS follow. */
export const CLIENT_PREFACE: Readonly<Uint8Array> = Uint8Array.from(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));

const PRIORITY_BYTES = 5;

/** Length of the payload of the frame at `at`. */
export function frameLength(b: Uint8Array, at: number): number {
  return ((b[at] as number) << 16) | ((b[at + 1] as number) << 8) | (b[at + 2] as number);
}

/** Type of the frame at `at`; those over FRAME_CONTINUATION are to be ignored (section 5.5). */
export function frameType(b: Uint8Array, at: number): number {
  return b[at + 3] as number;
}

/** Flags of the frame at `at`; those that its type does not define are to be ignored. */
export function frameFlags(b: Uint8Array, at: number): number {
  return b[at + 4] as number;
}

/** Stream of the frame at `at`, without the reserved bit. */
export function frameStream(b: Uint8Array, at: number): number {
  return readUint31(b, at + 5);
}

/** The 31-bit integer at `at`, without the reserved bit: stream ids and window increments. */
export function readUint31(b: Uint8Array, at: number): number {
  return readUint32(b, at) & 0x7fff_ffff;
}

/** The unsigned 32-bit integer at `at`: error codes and values of settings. */
export function readUint32(b: Uint8Array, at: number): number {
  return (
    (((b[at] as number) << 24) |
      ((b[at + 1] as number) << 16) |
      ((b[at + 2] as number) << 8) |
      (b[at + 3] as number)) >>>
    0
  );
}

/**
 * What a frame's header alone can get wrong: NO_ERROR, or the code of the connection error (section 6). Ask before
 * waiting for the payload, so that nothing longer than `maxBytes` is ever waited for.
 */
export function checkFrame(type: number, flags: number, stream: number, length: number, maxBytes: number): number {
  if (length > maxBytes) return FRAME_SIZE_ERROR;
  switch (type) {
    case FRAME_DATA:
    case FRAME_HEADERS:
    case FRAME_CONTINUATION:
      if (stream === 0) return PROTOCOL_ERROR;
      return length < headBytes(type, flags) ? FRAME_SIZE_ERROR : NO_ERROR;
    case FRAME_PUSH_PROMISE:
      if (stream === 0) return PROTOCOL_ERROR;
      return length < ((flags & FLAG_PADDED) !== 0 ? 5 : 4) ? FRAME_SIZE_ERROR : NO_ERROR;
    case FRAME_PRIORITY:
      if (stream === 0) return PROTOCOL_ERROR;
      return length !== PRIORITY_BYTES ? FRAME_SIZE_ERROR : NO_ERROR;
    case FRAME_RST_STREAM:
      if (stream === 0) return PROTOCOL_ERROR;
      return length !== 4 ? FRAME_SIZE_ERROR : NO_ERROR;
    case FRAME_SETTINGS:
      if (stream !== 0) return PROTOCOL_ERROR;
      return length % 6 !== 0 || ((flags & FLAG_ACK) !== 0 && length > 0) ? FRAME_SIZE_ERROR : NO_ERROR;
    case FRAME_PING:
      if (stream !== 0) return PROTOCOL_ERROR;
      return length !== 8 ? FRAME_SIZE_ERROR : NO_ERROR;
    case FRAME_GOAWAY:
      if (stream !== 0) return PROTOCOL_ERROR;
      return length < 8 ? FRAME_SIZE_ERROR : NO_ERROR;
    case FRAME_WINDOW_UPDATE:
      return length !== 4 ? FRAME_SIZE_ERROR : NO_ERROR;
    default:
      return NO_ERROR;
  }
}

/** Octets of a DATA, HEADERS or CONTINUATION payload before its content: pad length and priority. */
function headBytes(type: number, flags: number): number {
  if (type === FRAME_CONTINUATION) return 0;
  const padding = (flags & FLAG_PADDED) !== 0 ? 1 : 0;
  return type === FRAME_HEADERS && (flags & FLAG_PRIORITY) !== 0 ? padding + PRIORITY_BYTES : padding;
}

/** Where the content of a DATA, HEADERS or CONTINUATION frame starts whose payload is at `payload`. */
export function contentStart(type: number, flags: number, payload: number): number {
  return payload + headBytes(type, flags);
}

/**
 * Where the content of a DATA, HEADERS or CONTINUATION frame ends, before its padding; -1 where there is more padding
 * than payload, which is a connection error PROTOCOL_ERROR (section 6.1). The length has passed `checkFrame`.
 */
export function contentEnd(b: Uint8Array, type: number, flags: number, payload: number, length: number): number {
  if (type === FRAME_CONTINUATION || (flags & FLAG_PADDED) === 0) return payload + length;
  const end = payload + length - (b[payload] as number);
  return end < payload + headBytes(type, flags) ? -1 : end;
}

function writeUint32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

/** Writes the 9 octets before a payload. Every writer here returns the index after what it wrote. */
export function writeFrameHeader(
  out: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): number {
  out[at] = length >>> 16;
  out[at + 1] = length >>> 8;
  out[at + 2] = length;
  out[at + 3] = type;
  out[at + 4] = flags;
  return writeUint32(out, at + 5, stream);
}

/**
 * Makes HEADERS, and CONTINUATION as needed, of a header block that has been written to `out` from
 * `at + FRAME_HEADER_BYTES` to `blockEnd`. Returns the index after the last frame, or -1 where the headers between
 * the parts do not fit into `out`; the block is then as it was.
 */
export function frameHeaderBlock(
  out: Uint8Array,
  at: number,
  blockEnd: number,
  stream: number,
  endStream: boolean,
  maxFrameBytes: number,
): number {
  const first = endStream ? FLAG_END_STREAM : 0;
  const length = blockEnd - at - FRAME_HEADER_BYTES;
  if (length <= maxFrameBytes) {
    writeFrameHeader(out, at, length, FRAME_HEADERS, first | FLAG_END_HEADERS, stream);
    return blockEnd;
  }
  const parts = Math.ceil(length / maxFrameBytes);
  if (blockEnd + (parts - 1) * FRAME_HEADER_BYTES > out.length) return -1;
  const stride = maxFrameBytes + FRAME_HEADER_BYTES;
  for (let part = parts - 1; part > 0; part--) {
    const from = at + FRAME_HEADER_BYTES + part * maxFrameBytes;
    const to = part === parts - 1 ? blockEnd : from + maxFrameBytes;
    const frame = at + part * stride;
    out.copyWithin(frame + FRAME_HEADER_BYTES, from, to);
    const flags = part === parts - 1 ? FLAG_END_HEADERS : 0;
    writeFrameHeader(out, frame, to - from, FRAME_CONTINUATION, flags, stream);
  }
  writeFrameHeader(out, at, maxFrameBytes, FRAME_HEADERS, first, stream);
  return blockEnd + (parts - 1) * FRAME_HEADER_BYTES;
}

export function writeRstStream(out: Uint8Array, at: number, stream: number, code: number): number {
  return writeUint32(out, writeFrameHeader(out, at, 4, FRAME_RST_STREAM, 0, stream), code);
}

/** Writes SETTINGS of identifiers and values in turn. */
export function writeSettings(out: Uint8Array, at: number, settings: readonly number[]): number {
  let p = writeFrameHeader(out, at, settings.length * 3, FRAME_SETTINGS, 0, 0);
  for (let i = 0; i + 1 < settings.length; i += 2) {
    const id = settings[i] as number;
    out[p] = id >>> 8;
    out[p + 1] = id;
    p = writeUint32(out, p + 2, settings[i + 1] as number);
  }
  return p;
}

export function writeSettingsAck(out: Uint8Array, at: number): number {
  return writeFrameHeader(out, at, 0, FRAME_SETTINGS, FLAG_ACK, 0);
}

/** Writes PING with the 8 octets of `data` from `from`, or the answer to one. */
export function writePing(out: Uint8Array, at: number, ack: boolean, data: Uint8Array, from: number): number {
  const p = writeFrameHeader(out, at, 8, FRAME_PING, ack ? FLAG_ACK : 0, 0);
  for (let i = 0; i < 8; i++) out[p + i] = data[from + i] as number;
  return p + 8;
}

/** Writes GOAWAY; `lastStream` is the highest one of the peer's that has been or might be acted upon. */
export function writeGoaway(out: Uint8Array, at: number, lastStream: number, code: number): number {
  return writeUint32(out, writeUint32(out, writeFrameHeader(out, at, 8, FRAME_GOAWAY, 0, 0), lastStream), code);
}

/** Writes WINDOW_UPDATE; stream 0 is the connection. The increment is 1 to MAX_WINDOW_BYTES. */
export function writeWindowUpdate(out: Uint8Array, at: number, stream: number, increment: number): number {
  return writeUint32(out, writeFrameHeader(out, at, 4, FRAME_WINDOW_UPDATE, 0, stream), increment);
}
