// The Huffman code of RFC 7541 appendix B. It is canonical (within one length, codes count up with the octet), so that
// the lengths are all there is to say: one digit in base 36 for each octet, and at last for EOS.
const LENGTHS = [
  "dnsssssssoussussssssssusssssssss",
  "6aacd68baa8b8666555666666678f6ca",
  "d67777777777777777777777878djde6",
  "f56565666577666567655677777fbeds",
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn",
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu",
].join("");
const EOS = 256;

/** A state's low octet is the number of the next inner node of the tree. */
const NODE = 0xff;
const EMITS = 0x1_0000;
const FAILS = 0x2_0000;
const SYMBOL_SHIFT = 8;

/** Lengths in bits and codes by octet. */
interface Code {
  readonly lengths: Uint8Array;
  readonly codes: Uint32Array;
}

function canonicalCode(): Code {
  const lengths = Uint8Array.from(LENGTHS, (digit) => Number.parseInt(digit, 36));
  const codes = new Uint32Array(lengths.length);
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    code *= 2;
    for (let symbol = 0; symbol <= EOS; symbol++) if (lengths[symbol] === length) codes[symbol] = code++;
  }
  return { lengths, codes };
}

/** The inner nodes of the code tree, each as two children: an inner node's number, or ~symbol. Node 0 is the root. */
function tree({ lengths, codes }: Code): Int16Array {
  const children = new Int16Array(512);
  let nodes = 1;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let bit = (lengths[symbol] as number) - 1; bit >= 0; bit--) {
      const side = node * 2 + (((codes[symbol] as number) >>> bit) & 1);
      if (bit === 0) children[side] = ~symbol;
      else {
        if (children[side] === 0) children[side] = nodes++;
        node = children[side] as number;
      }
    }
  }
  return children;
}

/** For each inner node and nibble: the next node, and the symbol where one ends on the way (two never do: 5 bits). */
function transitions(children: Int16Array): Uint32Array {
  const table = new Uint32Array(256 * 16);
  for (let from = 0; from < 256; from++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = from;
      let flags = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const child = children[node * 2 + ((nibble >> bit) & 1)] as number;
        if (child >= 0) node = child;
        else {
          node = 0;
          if (~child === EOS) flags |= FAILS;
          else flags |= EMITS | (~child << SYMBOL_SHIFT);
        }
      }
      table[from * 16 + nibble] = flags | node;
    }
  }
  return table;
}

/** The nodes in which a string may end: up to 7 bits into EOS (RFC 7541 section 5.2). */
function endings(children: Int16Array): Uint8Array {
  const table = new Uint8Array(256);
  for (let node = 0, depth = 0; depth <= 7; depth++) {
    table[node] = 1;
    node = children[node * 2 + 1] as number;
  }
  return table;
}

const CODE = canonicalCode();
const { lengths: BITS, codes: CODES } = CODE;
const CHILDREN = tree(CODE);
const NEXT = transitions(CHILDREN);
const MAY_END = endings(CHILDREN);

/** Most octets that `length` Huffman-coded ones can stand for: the shortest code has 5 bits. */
export function maxDecodedBytes(length: number): number {
  return Math.floor((length * 8) / 5);
}

/**
 * Decodes `b[start, end)` into `out` from its beginning, which must have room for `maxDecodedBytes`. Returns the
 * number of octets, or -1 where the code holds EOS, or its padding is not 0 to 7 bits of ones.
 */
export function decodeHuffman(b: Uint8Array, start: number, end: number, out: Uint8Array): number {
  let node = 0;
  let failed = 0;
  let length = 0;
  for (let i = start; i < end; i++) {
    const octet = b[i] as number;
    let step = NEXT[(node << 4) | (octet >> 4)] as number;
    if ((step & EMITS) !== 0) out[length++] = (step >> SYMBOL_SHIFT) & 0xff;
    failed |= step;
    step = NEXT[((step & NODE) << 4) | (octet & 15)] as number;
    if ((step & EMITS) !== 0) out[length++] = (step >> SYMBOL_SHIFT) & 0xff;
    failed |= step;
    node = step & NODE;
  }
  return (failed & FAILS) === 0 && MAY_END[node] === 1 ? length : -1;
}

/**
 * Writes the code of `text` (octets as latin1 code units) to `out` at `at`. Returns the index after it, or -1 where
 * it would take more than `maxBytes`; what lies in `out` within those is then undefined.
 */
export function encodeHuffman(text: string, out: Uint8Array, at: number, maxBytes: number): number {
  const limit = at + maxBytes;
  let p = at;
  let bits = 0;
  let held = 0;
  for (let i = 0; i < text.length; i++) {
    const octet = text.charCodeAt(i) & 0xff;
    let code = CODES[octet] as number;
    let length = BITS[octet] as number;
    // Less than 8 bits are held; with up to 16 more they stay far from the sign of an int32.
    if (length > 16) {
      length -= 16;
      held = (held << length) | (code >>> 16);
      bits += length;
      while (bits >= 8) {
        if (p === limit) return -1;
        bits -= 8;
        out[p++] = held >> bits;
      }
      held &= 0xff;
      code &= 0xffff;
      length = 16;
    }
    held = (held << length) | code;
    bits += length;
    while (bits >= 8) {
      if (p === limit) return -1;
      bits -= 8;
      out[p++] = held >> bits;
    }
    held &= 0xff;
  }
  if (bits > 0) {
    if (p === limit) return -1;
    out[p++] = (held << (8 - bits)) | (0xff >> bits);
  }
  return p;
}
