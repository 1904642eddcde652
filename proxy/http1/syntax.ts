// Classes of octets in HTTP/1.1 heads (RFC 9110 section 5.6.2, RFC 9112 sections 3 to 5), as one table of flags.
export const TOKEN = 1;
/** Field values and reason phrases: HTAB, SP, visible ASCII and obs-text; never NUL, CR, LF or other controls. */
export const VALUE = 2;
/** Request targets: visible ASCII without "#" (a fragment is never sent). */
export const TARGET = 4;
/** Hexadecimal digits. */
export const HEX = 8;
/** Host and port as names and addresses spell them (a subset of RFC 3986 section 3.2: no userinfo, no sub-delims). */
export const AUTHORITY = 16;

function classes(): Uint8Array {
  const table = new Uint8Array(256);
  const mark = (text: string, flag: number) => {
    for (const byte of Buffer.from(text, "latin1")) table[byte] = (table[byte] ?? 0) | flag;
  };
  mark("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", TOKEN);
  mark("0123456789abcdefABCDEF", HEX);
  mark("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~%:[]", AUTHORITY);
  for (let c = 0x20; c < 0x100; c++) if (c !== 0x7f) table[c] = (table[c] ?? 0) | VALUE;
  table[9] = VALUE;
  for (let c = 0x21; c < 0x7f; c++) if (c !== 0x23) table[c] = (table[c] ?? 0) | TARGET;
  return table;
}

/** Flags by octet. */
export const CLASS: Readonly<Uint8Array> = classes();

/** Whether `b` holds `lower` (lower-case ASCII) at `start`, letters in either case. */
export function matches(b: Uint8Array, start: number, lower: Uint8Array): boolean {
  for (let i = 0; i < lower.length; i++) {
    const c = b[start + i] as number;
    if ((c >= 65 && c <= 90 ? c | 32 : c) !== lower[i]) return false;
  }
  return true;
}

/** Whether `b[start, end)` is `bytes`. */
export function same(b: Uint8Array, start: number, end: number, bytes: Uint8Array): boolean {
  const length = end - start;
  if (bytes.length !== length) return false;
  for (let i = 0; i < length; i++) if (b[start + i] !== bytes[i]) return false;
  return true;
}

/** Lower-case ASCII bytes of `text`, for `matches`. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "latin1"));
}
