import { MeshError } from "./errors.ts";
import { parseRegex, type RegexNode } from "./route-regex-syntax.ts";

/** Longest pattern, in characters. */
const MAX_PATTERN = 512;
/** Most steps that a pattern may come to once its repetitions are written out: the cost of a byte at worst. */
const MAX_STEPS = 500;
/** Most parts of a pattern once its repetitions are written out, empty ones included. */
const MAX_BUILDS = 10_000;
/** Cells of the table of transitions; when it is full it is begun anew. */
const MAX_CELLS = 32_768;

/** A pattern that is matched in time proportional to the text, whatever the text. */
export interface RouteRegex {
  readonly pattern: string;
  /** Whether the whole of `text` matches; characters over U+00FF match as the bytes of their UTF-8 encoding. */
  test(text: string): boolean;
  /** Whether the whole of `bytes[start, end)` matches. */
  testBytes(bytes: Uint8Array, start: number, end: number): boolean;
}

/**
 * Compiles RE2's common subset (docs/operations.md, "Regular expressions"): literals, `.`, classes, groups, `|`,
 * `* + ? {n} {n,} {n,m}`, `^` at the start, `$` at the end, `(?i)` at the start. No back-references, look-around, word
 * boundaries or Unicode classes. Runs as a deterministic automaton over bytes that is built as it is needed, so
 * nothing backtracks.
 * @throws MeshError USAGE for what is malformed, outside of the subset or too large
 */
export function compileRouteRegex(pattern: string): RouteRegex {
  if (pattern.length > MAX_PATTERN)
    throw new MeshError(
      "USAGE",
      `Cannot use a regular expression of ${pattern.length} characters: ${MAX_PATTERN} fit.`,
    );
  return new Automaton(pattern, program(pattern, parseRegex(pattern)));
}

/** A nondeterministic program: step i goes on to `next[i]` with a byte in `sets[i]`, or without one where it has none. */
interface Program {
  readonly sets: (Uint8Array | undefined)[];
  readonly next: number[][];
  readonly start: number;
  readonly accept: number;
}

function program(pattern: string, root: RegexNode): Program {
  const sets: (Uint8Array | undefined)[] = [];
  const next: number[][] = [];
  const step = (set: Uint8Array | undefined, to: number[]): number => {
    if (sets.length >= MAX_STEPS)
      throw new MeshError(
        "USAGE",
        `Cannot use ${quoted(pattern)}: it comes to more than ${MAX_STEPS} steps. Repeat less.`,
      );
    sets.push(set);
    next.push(to);
    return sets.length - 1;
  };
  let builds = 0;
  /** The first step of `node`, which goes on to `to`. */
  const build = (node: RegexNode, to: number): number => {
    // What is empty comes to no steps, however often it is repeated: "((){999}){999}".
    if (++builds > MAX_BUILDS) throw new MeshError("USAGE", `Cannot use ${quoted(pattern)}: it repeats too much.`);
    switch (node.kind) {
      case "set":
        return step(node.bytes, [to]);
      case "sequence":
        return node.items.reduceRight((after, item) => build(item, after), to);
      case "choice":
        return step(
          undefined,
          node.items.map((item) => build(item, to)),
        );
      case "repeat": {
        let after = to;
        if (node.max === undefined) {
          after = step(undefined, [to]);
          next[after]?.push(build(node.item, after));
        } else {
          for (let i = node.min; i < node.max; i++) after = step(undefined, [build(node.item, after), to]);
        }
        for (let i = 0; i < node.min; i++) after = build(node.item, after);
        return after;
      }
      default:
        return node satisfies never;
    }
  };
  const accept = step(undefined, []);
  return { sets, next, accept, start: build(root, accept) };
}

function quoted(pattern: string): string {
  return JSON.stringify(pattern.slice(0, 80));
}

/** Bytes that no set of the program tells apart are one class. */
function byteClasses(sets: readonly (Uint8Array | undefined)[]): { classOf: Uint8Array; samples: number[] } {
  const classOf = new Uint8Array(256);
  const samples: number[] = [];
  const known = new Map<string, number>();
  const kinds = [...new Set(sets)].filter((set) => set !== undefined);
  for (let byte = 0; byte < 256; byte++) {
    let signature = "";
    for (const set of kinds) signature += set[byte] === 1 ? "1" : "0";
    let at = known.get(signature);
    if (at === undefined) {
      at = samples.length;
      known.set(signature, at);
      samples.push(byte);
    }
    classOf[byte] = at;
  }
  return { classOf, samples };
}

const UNKNOWN = -1;
/** The state from which nothing matches. */
const DEAD = 0;
const START = 1;

class Automaton implements RouteRegex {
  readonly pattern: string;
  readonly #program: Program;
  readonly #classOf: Uint8Array;
  readonly #samples: readonly number[];
  readonly #maxStates: number;
  #table: Int32Array;
  #states: Int32Array[] = [];
  #accepting: Uint8Array;
  #known = new Map<string, number>();
  /** Steps seen in the closure under way: where it equals #mark. */
  readonly #seen: Int32Array;
  #mark = 0;

  constructor(pattern: string, compiled: Program) {
    this.pattern = pattern;
    this.#program = compiled;
    const { classOf, samples } = byteClasses(compiled.sets);
    this.#classOf = classOf;
    this.#samples = samples;
    this.#maxStates = Math.max(16, Math.floor(MAX_CELLS / samples.length));
    this.#seen = new Int32Array(compiled.sets.length);
    // Most patterns know few states: room for more is made as they come.
    this.#table = new Int32Array(16 * samples.length);
    this.#accepting = new Uint8Array(16);
    this.#reset();
  }

  test(text: string): boolean {
    const bytes = Buffer.from(text, "utf8");
    return this.testBytes(bytes, 0, bytes.length);
  }

  testBytes(bytes: Uint8Array, start: number, end: number): boolean {
    const width = this.#samples.length;
    let state = START;
    for (let i = start; i < end; i++) {
      const cls = this.#classOf[bytes[i] as number] as number;
      let to = this.#table[state * width + cls] as number;
      if (to === UNKNOWN) to = this.#step(state, cls);
      if (to === DEAD) return false;
      state = to;
    }
    return this.#accepting[state] === 1;
  }

  #reset(): void {
    this.#states = [];
    this.#known = new Map();
    this.#state(new Int32Array(0));
    this.#state(this.#closure([this.#program.start]));
  }

  /** The state after `state` with a byte of class `cls`, remembered in the table. */
  #step(state: number, cls: number): number {
    const { sets, next } = this.#program;
    const byte = this.#samples[cls] as number;
    const reached: number[] = [];
    for (const at of this.#states[state] as Int32Array) {
      if (sets[at]?.[byte] === 1) reached.push(...(next[at] as number[]));
    }
    const closure = this.#closure(reached);
    const known = this.#known.get(closure.join());
    if (known === undefined && this.#states.length >= this.#maxStates) {
      this.#reset();
      // `state` is gone with the rest, so nothing is remembered of it.
      return this.#known.get(closure.join()) ?? this.#state(closure);
    }
    const to = known ?? this.#state(closure);
    this.#table[state * this.#samples.length + cls] = to;
    return to;
  }

  #state(closure: Int32Array): number {
    const id = this.#states.length;
    const width = this.#samples.length;
    if (id >= this.#accepting.length) {
      const table = new Int32Array(this.#table.length * 2);
      table.set(this.#table);
      this.#table = table;
      const accepting = new Uint8Array(this.#accepting.length * 2);
      accepting.set(this.#accepting);
      this.#accepting = accepting;
    }
    this.#table.fill(UNKNOWN, id * width, (id + 1) * width);
    this.#accepting[id] = closure.includes(this.#program.accept) ? 1 : 0;
    this.#states.push(closure);
    this.#known.set(closure.join(), id);
    return id;
  }

  /** `from` and what is reached from there without a byte, sorted: steps that take a byte, and the accepting one. */
  #closure(from: readonly number[]): Int32Array {
    const { sets, next, accept } = this.#program;
    const mark = ++this.#mark;
    const waiting = [...from];
    const found: number[] = [];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      if (this.#seen[at] === mark) continue;
      this.#seen[at] = mark;
      if (sets[at] !== undefined || at === accept) found.push(at);
      else waiting.push(...(next[at] as number[]));
    }
    return Int32Array.from(found).sort();
  }
}
