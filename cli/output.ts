import { stringify } from "yaml";
import type { OutputFormat } from "./failure.ts";

/** Rows under their headings, columns padded to the widest cell. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows];
  const widths = headings.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Writes `value` as asked for; `asTable` is what people read. */
export function show(format: OutputFormat, value: unknown, asTable: () => string, out: NodeJS.WritableStream): void {
  switch (format) {
    case "json":
      out.write(`${JSON.stringify(value, undefined, 2)}\n`);
      return;
    case "yaml":
      out.write(stringify(value));
      return;
    case "table":
      out.write(`${asTable()}\n`);
      return;
    default:
      format satisfies never;
  }
}

/** 950 -> "950 ms", 1234 -> "1.2 s", 90000 -> "1m30s" */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return seconds < 3_600
    ? `${Math.floor(seconds / 60)}m${seconds % 60}s`
    : `${Math.floor(seconds / 3_600)}h${Math.floor((seconds % 3_600) / 60)}m`;
}
