import { write, writeSync } from "node:fs";

/** What a reader that stalls may leave waiting; lines beyond it are lost. */
const MAX_WAITING_CHARS = 1_048_576;
const AGAIN_MS = 100;

/** Writes lines to a file descriptor in their order, without ever holding up the event loop; at exit what is left. */
export class LineWriter {
  readonly #fd: number;
  #waiting: string[] = [];
  #waitingChars = 0;
  #inFlight = false;

  constructor(fd: number) {
    this.#fd = fd;
    process.on("exit", () => this.#writeLast());
  }

  write(line: string): void {
    if (this.#waitingChars + line.length > MAX_WAITING_CHARS) return;
    this.#waiting.push(line);
    this.#waitingChars += line.length;
    if (!this.#inFlight) this.#next();
  }

  #take(): Buffer {
    const bytes = Buffer.from(this.#waiting.join(""));
    this.#waiting = [];
    this.#waitingChars = 0;
    return bytes;
  }

  #next(): void {
    this.#inFlight = this.#waiting.length > 0;
    if (this.#inFlight) this.#send(this.#take());
  }

  #send(bytes: Buffer): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === "EAGAIN") setTimeout(() => this.#send(bytes), AGAIN_MS).unref();
      // Any other failure: nobody reads any more, and there is nobody to tell.
      else if (error === null && written < bytes.length) this.#send(bytes.subarray(written));
      else this.#next();
    });
  }

  #writeLast(): void {
    try {
      for (let left = this.#take(); left.length > 0; ) left = left.subarray(writeSync(this.#fd, left));
    } catch {
      // Its reader is gone, or does not keep up: the process ends all the same.
    }
  }
}
