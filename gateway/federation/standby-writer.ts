import type { StateWriter } from "./peer-imports.ts";

/**
 * Keeps what a replica that does not lead would write until it leads; where it never does, nothing of it is ever
 * written, not even later.
 */
export class StandbyWriter implements StateWriter {
  readonly #writer: StateWriter;
  readonly #promoted: Promise<void>;
  #held: (() => void)[] | undefined = [];
  #promote: () => void = () => {};

  constructor(writer: StateWriter) {
    this.#writer = writer;
    this.#promoted = new Promise((resolve) => {
      this.#promote = resolve;
    });
  }

  /** The replica leads now: what was held is written, and the rest as it comes. */
  promote(): void {
    const held = this.#held;
    this.#held = undefined;
    for (const write of held ?? []) write();
    this.#promote();
  }

  set(key: string, value: string): void {
    this.#do(() => this.#writer.set(key, value));
  }

  delete(key: string): void {
    this.#do(() => this.#writer.delete(key));
  }

  replacePrefix(prefix: string, values: ReadonlyMap<string, string>): void {
    this.#do(() => this.#writer.replacePrefix(prefix, values));
  }

  async settled(): Promise<void> {
    await this.#promoted;
    await this.#writer.settled();
  }

  #do(write: () => void): void {
    if (this.#held === undefined) write();
    else this.#held.push(write);
  }
}
