import { MeshError } from "../core/errors.ts";

/** Of one message, in either direction. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** Compressed or not, and the length (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). */
const PREFIX_BYTES = 5;

/** `message` with the prefix that gRPC puts before it. @throws MeshError LIMIT_EXCEEDED */
export function frameOf(message: Buffer): Buffer {
  if (message.length > MAX_MESSAGE_BYTES)
    throw new MeshError("LIMIT_EXCEEDED", `Cannot send message: it has more than ${MAX_MESSAGE_BYTES} bytes.`);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Cuts what a peer sends into messages; holds no more than one that is not whole, and what came last. */
export class FrameReader {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes = MAX_MESSAGE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of a message that is not whole yet. */
  get pending(): number {
    return this.#bytes;
  }

  /** The messages that `chunk` completes. @throws MeshError PROTOCOL_VIOLATION, LIMIT_EXCEEDED */
  read(chunk: Buffer): Buffer[] {
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
    const messages: Buffer[] = [];
    for (let wanted = this.#wanted(); wanted <= this.#bytes; wanted = this.#wanted()) {
      const all = this.#joined();
      messages.push(all.subarray(PREFIX_BYTES, wanted));
      this.#parts = [all.subarray(wanted)];
      this.#bytes -= wanted;
    }
    return messages;
  }

  /** How many bytes the message that begins here needs; the prefix's, where that is not whole. */
  #wanted(): number {
    if (this.#bytes < PREFIX_BYTES) return PREFIX_BYTES;
    let [first = Buffer.alloc(0)] = this.#parts;
    if (first.length < PREFIX_BYTES) first = this.#joined();
    if (first[0] !== 0)
      throw new MeshError("PROTOCOL_VIOLATION", "Cannot read message: it is compressed, which was not agreed.");
    const length = first.readUInt32BE(1);
    if (length > this.#maxBytes)
      throw new MeshError("LIMIT_EXCEEDED", `Cannot take message: it has more than ${this.#maxBytes} bytes.`);
    return PREFIX_BYTES + length;
  }

  #joined(): Buffer {
    const [first] = this.#parts;
    const all = this.#parts.length === 1 && first !== undefined ? first : Buffer.concat(this.#parts);
    this.#parts = [all];
    return all;
  }
}
