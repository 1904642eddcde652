/** What follows on the connection after the preface. */
export const HTTP1 = 1;
export const OPAQUE = 2;
/** Frames of transport/mux, each stream of which is one HTTP/1.1 connection. */
export const MUX_HTTP1 = 3;
export const HTTP2 = 4;
export type PrefaceProtocol = typeof HTTP1 | typeof OPAQUE | typeof MUX_HTTP1 | typeof HTTP2;

export const PREFACE_BYTES = 7;
const MAGIC = [0x43, 0x57, 0x59, 0x31] as const;

export interface Preface {
  readonly protocol: PrefaceProtocol;
  /** Port of the app. */
  readonly port: number;
}

/** ALPN of connections that begin with a preface. */
export const MESH_ALPN = "causeway/1";

/** `CWY1`, the protocol, the target port in 16 bits: sent once, by the client side. */
export function writePreface({ protocol, port }: Preface): Buffer {
  return Buffer.from([...MAGIC, protocol, port >> 8, port & 0xff]);
}

/** The preface at the start of `b`; undefined where it is none. Needs PREFACE_BYTES. */
export function readPreface(b: Buffer): Preface | undefined {
  for (const [i, byte] of MAGIC.entries()) if (b[i] !== byte) return undefined;
  const protocol = b[4];
  const port = b.readUInt16BE(5);
  if (!isProtocol(protocol) || port === 0) return undefined;
  return { protocol, port };
}

function isProtocol(byte: number | undefined): byte is PrefaceProtocol {
  return byte === HTTP1 || byte === OPAQUE || byte === MUX_HTTP1 || byte === HTTP2;
}
