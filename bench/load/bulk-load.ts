import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { Transport } from "../../transport/transport.ts";

export interface BulkLoadOptions {
  readonly port: number;
  /** Asks for bytes without end. */
  readonly opening: Buffer;
  readonly connections: number;
  readonly seconds: number;
}

const CONNECT_MS = 5_000;
const READ_BYTES = 262_144;

/** Reads as fast as it can over a number of connections. Rejects where one of them is lost. */
export async function runBulkLoad(
  transport: Transport,
  { port, opening, connections, seconds }: BulkLoadOptions,
): Promise<{ readonly bytes: number; readonly seconds: number }> {
  let bytes = 0;
  let over = false;
  let lost: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    lost = reject;
  });
  failed.catch(() => {});
  const count: ByteStreamUser = {
    onRead(_buffer, length) {
      bytes += length;
    },
    onEnd() {},
    onDrain() {},
    onClose(error) {
      if (!over) lost(error ?? new Error("a bulk connection ended"));
    },
  };
  const connect = () =>
    new Promise<ByteStream>((resolve, reject) => {
      transport.connectTcp(
        { host: "127.0.0.1", port, timeoutMs: CONNECT_MS },
        (stream) => {
          stream.maxReadBytes = READ_BYTES;
          stream.write(opening, 0, opening.length);
          resolve(stream);
          return count;
        },
        reject,
      );
    });
  const streams = await Promise.all(Array.from({ length: connections }, connect));
  try {
    const startMs = performance.now();
    bytes = 0;
    await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 1_000 * seconds))]);
    return { bytes, seconds: (performance.now() - startMs) / 1_000 };
  } finally {
    over = true;
    for (const stream of streams) stream.destroy();
  }
}
