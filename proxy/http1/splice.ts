import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";

/** What a tunnel reports: bytes as they pass, and its end, once. */
export interface SpliceObserver {
  onBytes(fromFirst: boolean, count: number): void;
  onDone(): void;
}

class Side implements ByteStreamUser {
  readonly #own: ByteStream;
  readonly #other: ByteStream;
  readonly #first: boolean;
  readonly #observer: SpliceObserver;
  readonly #closed: () => void;

  constructor(own: ByteStream, other: ByteStream, first: boolean, observer: SpliceObserver, closed: () => void) {
    this.#own = own;
    this.#other = other;
    this.#first = first;
    this.#observer = observer;
    this.#closed = closed;
  }

  onRead(buffer: Buffer, length: number): void {
    this.#observer.onBytes(this.#first, length);
    if (!this.#other.closed && !this.#other.write(buffer, 0, length)) this.#own.pause();
  }

  onEnd(): void {
    if (!this.#other.closed) this.#other.end();
  }

  onDrain(): void {
    if (!this.#other.closed) this.#other.resume();
  }

  onClose(error: Error | undefined): void {
    // What the other side has yet to send of an orderly end is still sent; a broken one breaks both.
    if (!this.#other.closed) {
      if (error === undefined) this.#other.end();
      else this.#other.destroy(undefined, true);
    }
    this.#closed();
  }
}

/** Passes bytes between two streams in both directions, each with the other's back pressure, until both are closed. */
export function splice(first: ByteStream, second: ByteStream, observer: SpliceObserver): void {
  let open = 2;
  const closed = () => {
    if (--open === 0) observer.onDone();
  };
  first.user = new Side(first, second, true, observer, closed);
  second.user = new Side(second, first, false, observer, closed);
  first.resume();
  second.resume();
}
