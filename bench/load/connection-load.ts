import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { Transport } from "../../transport/transport.ts";

export interface ConnectionLoadOptions {
  readonly port: number;
  /** What each connection says: it is closed once its answer is there. */
  readonly opening: Buffer;
  /** At least so long is an answer. */
  readonly bodyBytes: number;
  readonly concurrency: number;
  readonly seconds: number;
}

export interface ConnectionLoadResult {
  readonly connections: number;
  readonly errors: number;
  readonly seconds: number;
}

const CONNECT_MS = 5_000;

/** New connections, each with one question and one answer, a number of them at a time. */
export function runConnectionLoad(transport: Transport, options: ConnectionLoadOptions): Promise<ConnectionLoadResult> {
  const { port, opening, bodyBytes, concurrency, seconds } = options;
  return new Promise((resolve) => {
    const startMs = performance.now();
    const untilMs = startMs + 1_000 * seconds;
    let connections = 0;
    let errors = 0;
    let open = 0;
    const next = () => {
      const nowMs = performance.now();
      if (nowMs < untilMs) {
        connectOne();
      } else if (open === 0) {
        resolve({ connections, errors, seconds: (nowMs - startMs) / 1_000 });
      }
    };
    const connectOne = () => {
      open++;
      transport.connectTcp(
        { host: "127.0.0.1", port, timeoutMs: CONNECT_MS },
        (stream) => {
          stream.write(opening, 0, opening.length);
          return new OneAnswer(stream, bodyBytes, (answered) => {
            open--;
            if (answered) connections++;
            else errors++;
            next();
          });
        },
        () => {
          open--;
          errors++;
          // A subject that refuses is not asked in a tight loop.
          setTimeout(next, 1);
        },
      );
    };
    for (let i = 0; i < concurrency; i++) connectOne();
  });
}

class OneAnswer implements ByteStreamUser {
  readonly #stream: ByteStream;
  readonly #wanted: number;
  readonly #done: (answered: boolean) => void;
  #got = 0;

  constructor(stream: ByteStream, wanted: number, done: (answered: boolean) => void) {
    this.#stream = stream;
    this.#wanted = wanted;
    this.#done = done;
  }

  onRead(_buffer: Buffer, length: number): void {
    this.#got += length;
    if (this.#got > this.#wanted) this.#stream.end();
  }

  /** The other side has closed, too. */
  onEnd(): void {
    this.#stream.end();
  }

  onDrain(): void {}

  onClose(): void {
    this.#done(this.#got > this.#wanted);
  }
}
