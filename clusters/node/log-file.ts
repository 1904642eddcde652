import { createWriteStream, type WriteStream } from "node:fs";
import type { Readable } from "node:stream";

/** Longest line kept whole; a longer one is cut into parts. */
const MAX_LINE = 16_384;
/** A log stops growing here; what follows is dropped and said so once. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Writes a container's output as CRI log lines: `<RFC 3339> <stdout|stderr> F <line>`. */
export class LogFile {
  readonly path: string;
  readonly #out: WriteStream;
  #bytes = 0;

  constructor(path: string) {
    this.path = path;
    this.#out = createWriteStream(path, { flags: "a", mode: 0o600 });
    // A full disk must not take the pod down with it.
    this.#out.on("error", () => {});
  }

  /** Copies `source` until it ends. */
  follow(source: Readable, name: "stdout" | "stderr"): void {
    let rest = "";
    source.setEncoding("utf8");
    source.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#line(name, line);
      if (rest.length > MAX_LINE) {
        this.#line(name, rest);
        rest = "";
      }
    });
    source.on("end", () => {
      if (rest !== "") this.#line(name, rest);
    });
    source.on("error", () => {});
  }

  close(): void {
    this.#out.end();
  }

  #line(name: string, line: string): void {
    if (this.#bytes > MAX_BYTES) return;
    const text = `${new Date().toISOString()} ${name} F ${line}\n`;
    this.#bytes += text.length;
    this.#out.write(
      this.#bytes > MAX_BYTES ? `${new Date().toISOString()} stderr F [log full: the rest is dropped]\n` : text,
    );
  }
}

/** The text of a CRI line as `kubectl logs` shows it, with or without its time. */
export function shownLine(line: string, timestamps: boolean): string {
  const time = line.indexOf(" ");
  const stream = line.indexOf(" ", time + 1);
  const tag = line.indexOf(" ", stream + 1);
  if (tag < 0) return line;
  const text = line.slice(tag + 1);
  return timestamps ? `${line.slice(0, time)} ${text}` : text;
}
