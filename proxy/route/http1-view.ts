import type { RouteRegex } from "../../core/route-regex.ts";
import { createHead, type Head } from "../http1/head.ts";
import { matches } from "../http1/syntax.ts";
import type { RequestView, Word } from "./request-view.ts";

const SLASH = Uint8Array.of(47);
const NOTHING = Buffer.alloc(0);

/** A parsed HTTP/1.1 head, read in place. */
export class Http1View implements RequestView {
  /** gRPC needs HTTP/2. */
  readonly grpc = false;
  #head: Head = createHead();
  #b: Buffer = NOTHING;
  #pathStart = 0;
  #pathEnd = 0;
  #targetEnd = 0;

  /** Looks at another request; `targetStart` is where its path (or query) begins, after an absolute-form's authority. */
  look(head: Head, b: Buffer, targetStart: number, targetEnd: number): this {
    this.#head = head;
    this.#b = b;
    this.#pathStart = targetStart;
    this.#targetEnd = targetEnd;
    let end = targetStart;
    while (end < targetEnd && b[end] !== 63) end++;
    this.#pathEnd = end;
    return this;
  }

  methodIs({ octets }: Word): boolean {
    const { start, methodEnd } = this.#head;
    return methodEnd - start === octets.length && begins(this.#b, start, octets);
  }

  pathIs({ octets }: Word): boolean {
    const length = this.#pathEnd - this.#pathStart;
    if (length === 0) return octets.length === 1 && octets[0] === 47;
    return length === octets.length && begins(this.#b, this.#pathStart, octets);
  }

  pathBegins({ octets }: Word): boolean {
    const length = this.#pathEnd - this.#pathStart;
    if (length < octets.length || !begins(this.#b, this.#pathStart, octets)) return false;
    return length === octets.length || octets.length === 0 || this.#b[this.#pathStart + octets.length] === 47;
  }

  pathMatches(regex: RouteRegex): boolean {
    if (this.#pathEnd === this.#pathStart) return regex.testBytes(SLASH, 0, 1);
    return regex.testBytes(this.#b, this.#pathStart, this.#pathEnd);
  }

  path(): string {
    return this.#pathEnd === this.#pathStart ? "/" : this.#b.toString("latin1", this.#pathStart, this.#pathEnd);
  }

  query(): string | undefined {
    if (this.#pathEnd === this.#targetEnd) return undefined;
    return this.#b.toString("latin1", this.#pathEnd + 1, this.#targetEnd);
  }

  header(name: Word): string | undefined {
    const { at } = this.#head;
    let value: string | undefined;
    for (let f = this.#find(name, 0); f >= 0; f = this.#find(name, f + 1)) {
      const one = this.#b.toString("latin1", at[f * 4 + 2], at[f * 4 + 3]);
      value = value === undefined ? one : `${value},${one}`;
    }
    return value;
  }

  headerIs(name: Word, value: Word): boolean {
    const { at } = this.#head;
    const f = this.#find(name, 0);
    if (f < 0) return false;
    if (this.#find(name, f + 1) >= 0) return this.header(name) === value.text;
    const start = at[f * 4 + 2] as number;
    return (at[f * 4 + 3] as number) - start === value.octets.length && begins(this.#b, start, value.octets);
  }

  /** The first field called `name` from `from` on, or -1. */
  #find({ octets }: Word, from: number): number {
    const { at, count } = this.#head;
    for (let f = from; f < count; f++) {
      const start = at[f * 4] as number;
      if ((at[f * 4 + 1] as number) - start === octets.length && matches(this.#b, start, octets)) return f;
    }
    return -1;
  }
}

function begins(b: Uint8Array, start: number, octets: Uint8Array): boolean {
  for (let i = 0; i < octets.length; i++) if (b[start + i] !== octets[i]) return false;
  return true;
}
