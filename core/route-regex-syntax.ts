import { MeshError } from "./errors.ts";

/** A parsed pattern. `bytes` has a 1 for each byte that the set holds. */
export type RegexNode =
  | { readonly kind: "set"; readonly bytes: Uint8Array }
  | { readonly kind: "sequence" | "choice"; readonly items: readonly RegexNode[] }
  | { readonly kind: "repeat"; readonly item: RegexNode; readonly min: number; readonly max: number | undefined };

const MAX_DEPTH = 32;
const MAX_REPEAT = 1_000;

/** Parses the subset that `compileRouteRegex` describes. @throws MeshError USAGE */
export function parseRegex(pattern: string): RegexNode {
  return new Parser(pattern).parse();
}

function setOf(holds: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0));
}

function ranges(...pairs: readonly string[]): Uint8Array {
  return setOf((byte) =>
    pairs.some((pair) => {
      const last = pair.length > 1 ? pair.charCodeAt(1) : pair.charCodeAt(0);
      return byte >= pair.charCodeAt(0) && byte <= last;
    }),
  );
}

function inverse(set: Uint8Array): Uint8Array {
  return set.map((bit) => 1 - bit);
}

const ANY = setOf((byte) => byte !== 10);
const DIGIT = ranges("09");
const WORD = ranges("09", "AZ", "az", "_");
const SPACE = ranges("\t", "\n", "\f", "\r", " ");
const PERL: Readonly<Record<string, Uint8Array>> = {
  d: DIGIT,
  D: inverse(DIGIT),
  w: WORD,
  W: inverse(WORD),
  s: SPACE,
  S: inverse(SPACE),
};
const POSIX: Readonly<Record<string, Uint8Array>> = {
  alnum: ranges("09", "AZ", "az"),
  alpha: ranges("AZ", "az"),
  digit: DIGIT,
  lower: ranges("az"),
  upper: ranges("AZ"),
  space: ranges("\t\r", " "),
  word: WORD,
  xdigit: ranges("09", "AF", "af"),
  punct: ranges("!/", ":@", "[`", "{~"),
};
const CONTROL: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7 };

class Parser {
  readonly #pattern: string;
  #at = 0;
  #end: number;
  #depth = 0;
  #ignoreCase = false;
  readonly #singles = new Map<number, Uint8Array>();

  constructor(pattern: string) {
    this.#pattern = pattern;
    this.#end = pattern.length;
  }

  parse(): RegexNode {
    if (this.#take("(?i)")) this.#ignoreCase = true;
    this.#take("^");
    if (this.#pattern.endsWith("$") && !this.#isEscaped(this.#end - 1)) this.#end--;
    const node = this.#choice();
    if (this.#at < this.#end) throw this.#wrong(`a ")" without its "("`);
    return node;
  }

  #isEscaped(at: number): boolean {
    let slashes = 0;
    while (this.#pattern[at - 1 - slashes] === "\\") slashes++;
    return slashes % 2 === 1;
  }

  #choice(): RegexNode {
    const items = [this.#sequence()];
    while (this.#take("|")) items.push(this.#sequence());
    return items.length === 1 ? (items[0] as RegexNode) : { kind: "choice", items };
  }

  #sequence(): RegexNode {
    const items: RegexNode[] = [];
    while (this.#at < this.#end && this.#peek() !== "|" && this.#peek() !== ")") items.push(this.#repeated());
    return items.length === 1 ? (items[0] as RegexNode) : { kind: "sequence", items };
  }

  #repeated(): RegexNode {
    const item = this.#atom();
    const bounds = this.#bounds();
    if (bounds === undefined) return item;
    // Whether a repetition is lazy makes no difference to whether the whole matches.
    this.#take("?");
    if (this.#at < this.#end && "*+".includes(this.#peek())) throw this.#wrong("a repetition of a repetition");
    return { kind: "repeat", item, ...bounds };
  }

  #bounds(): { min: number; max: number | undefined } | undefined {
    if (this.#take("*")) return { min: 0, max: undefined };
    if (this.#take("+")) return { min: 1, max: undefined };
    if (this.#take("?")) return { min: 0, max: 1 };
    const [text, low = "", comma, high = ""] =
      /^\{([0-9]{1,4})(,)?([0-9]{1,4})?\}/.exec(this.#pattern.slice(this.#at, this.#end)) ?? [];
    if (text === undefined) return undefined;
    const min = Number(low);
    const max = comma === undefined ? min : high === "" ? undefined : Number(high);
    if (min > MAX_REPEAT || (max !== undefined && (max > MAX_REPEAT || max < min)))
      throw this.#wrong(`the repetition ${text}`);
    this.#at += text.length;
    return { min, max };
  }

  #atom(): RegexNode {
    const character = this.#next();
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return { kind: "set", bytes: this.#class() };
      case ".":
        return { kind: "set", bytes: ANY };
      case "\\":
        return { kind: "set", bytes: this.#escape() };
      case "^":
      case "$":
        throw this.#wrong(`"${character}" in the middle`);
      case "*":
      case "+":
      case "?":
        throw this.#wrong(`"${character}" with nothing to repeat`);
      default: {
        const items = [...Buffer.from(character, "utf8")].map(
          (byte): RegexNode => ({ kind: "set", bytes: this.#single(byte) }),
        );
        return items.length === 1 ? (items[0] as RegexNode) : { kind: "sequence", items };
      }
    }
  }

  #group(): RegexNode {
    if (this.#peek() === "?" && !this.#take("?:")) {
      const name = /^\?P?<[A-Za-z_][A-Za-z0-9_]*>/.exec(this.#pattern.slice(this.#at, this.#end))?.[0];
      if (name === undefined) throw this.#wrong('a group that begins with "(?", look-around or flags');
      this.#at += name.length;
    }
    if (++this.#depth > MAX_DEPTH) throw this.#wrong(`groups nested more than ${MAX_DEPTH} deep`);
    const node = this.#choice();
    if (!this.#take(")")) throw this.#wrong(`a "(" without its ")"`);
    this.#depth--;
    return node;
  }

  /** What an escape stands for, its backslash being read. */
  #escape(): Uint8Array {
    const character = this.#next();
    const perl = Object.hasOwn(PERL, character) ? PERL[character] : undefined;
    if (perl !== undefined) return perl;
    return this.#single(this.#escapedByte(character));
  }

  #escapedByte(character: string): number {
    if (Object.hasOwn(CONTROL, character)) return CONTROL[character] as number;
    if (character === "x") {
      const [text, plain, braced] =
        /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,2})\})/.exec(this.#pattern.slice(this.#at, this.#end)) ?? [];
      const byte = Number.parseInt(plain ?? braced ?? "", 16);
      if (text === undefined || byte > 127) throw this.#wrong("an escape \\x of no ASCII character");
      this.#at += text.length;
      return byte;
    }
    if (/^[A-Za-z0-9]$/.test(character) || character.charCodeAt(0) > 127)
      throw this.#wrong(`the escape \\${character}`);
    return character.charCodeAt(0);
  }

  /** A class, its "[" being read. */
  #class(): Uint8Array {
    const inverted = this.#take("^");
    const set = new Uint8Array(256);
    const add = (other: Uint8Array) => {
      for (let byte = 0; byte < 256; byte++) if (other[byte] === 1) set[byte] = 1;
    };
    for (let first = true; first || this.#peek() !== "]"; first = false) {
      const [text, not, name = ""] = /^\[:(\^?)([a-z]+):\]/.exec(this.#pattern.slice(this.#at, this.#end)) ?? [];
      if (text !== undefined) {
        const posix = Object.hasOwn(POSIX, name) ? POSIX[name] : undefined;
        if (posix === undefined) throw this.#wrong(`the class ${text}`);
        add(not === "^" ? inverse(posix) : posix);
        this.#at += text.length;
        continue;
      }
      const low = this.#classItem();
      if (typeof low !== "number") {
        add(low);
        continue;
      }
      let high = low;
      if (this.#peek() === "-" && this.#pattern[this.#at + 1] !== "]") {
        this.#at++;
        const item = this.#classItem();
        if (typeof item !== "number" || item < low) throw this.#wrong("a range that is none");
        high = item;
      }
      add(this.#folded(setOf((byte) => byte >= low && byte <= high)));
    }
    this.#at++;
    return inverted ? inverse(set) : set;
  }

  #classItem(): number | Uint8Array {
    const character = this.#next();
    if (character !== "\\") {
      if (character.charCodeAt(0) > 127) throw this.#wrong("a class with a character beyond ASCII");
      return character.charCodeAt(0);
    }
    const escaped = this.#next();
    return Object.hasOwn(PERL, escaped) ? (PERL[escaped] as Uint8Array) : this.#escapedByte(escaped);
  }

  /** The set of one byte: the same one each time, so that few sets are to be told apart. */
  #single(byte: number): Uint8Array {
    let set = this.#singles.get(byte);
    if (set === undefined) {
      set = new Uint8Array(256);
      set[byte] = 1;
      set = this.#folded(set);
      this.#singles.set(byte, set);
    }
    return set;
  }

  #folded(set: Uint8Array): Uint8Array {
    if (!this.#ignoreCase) return set;
    const out = set.slice();
    for (let upper = 65; upper <= 90; upper++) {
      if (set[upper] === 1 || set[upper + 32] === 1) {
        out[upper] = 1;
        out[upper + 32] = 1;
      }
    }
    return out;
  }

  #peek(): string {
    return this.#at < this.#end ? (this.#pattern[this.#at] as string) : "";
  }

  /** The next character, whole where it is a surrogate pair. */
  #next(): string {
    const code = this.#at < this.#end ? this.#pattern.codePointAt(this.#at) : undefined;
    if (code === undefined) throw this.#wrong("an end where more must come");
    const character = String.fromCodePoint(code);
    this.#at += character.length;
    return character;
  }

  #take(text: string): boolean {
    if (!this.#pattern.startsWith(text, this.#at) || this.#at + text.length > this.#end) return false;
    this.#at += text.length;
    return true;
  }

  #wrong(what: string): MeshError {
    const shown = JSON.stringify(this.#pattern.slice(0, 80));
    return new MeshError("USAGE", `Cannot use ${shown} as a regular expression: ${what}, near character ${this.#at}.`);
  }
}
