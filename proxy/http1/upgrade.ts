import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Head } from "./head.ts";
import { put, writeResponseHead } from "./head-writer.ts";

/** Of what follows a head in the same read, so much is sent in one write with it. */
const TOGETHER_BYTES = 8_192;

/** Passes a 101 answer on, with what the new protocol has said already in `b[headEnd, end)`. */
export function writeUpgrade(
  client: ByteStream,
  scratch: Buffer,
  head: Head,
  b: Buffer,
  headEnd: number,
  end: number,
): void {
  const together = Math.min(end, headEnd + TOGETHER_BYTES);
  const o = put(scratch, writeResponseHead(head, b, scratch, 0, "upgrade", false), b, headEnd, together);
  client.write(scratch, 0, o);
  if (end > together) client.write(b, together, end);
}
