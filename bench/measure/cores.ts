import { readFileSync } from "node:fs";
import { programOnPath } from "./programs.ts";

/** Which cores the measured processes and their load are kept on; undefined: wherever the kernel likes. */
export interface Cores {
  readonly subject: string | undefined;
  readonly load: string | undefined;
}

/** A list of cores as Linux writes it: "0-2,5". */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(",")
    .filter((range) => range !== "")
    .flatMap((range) => {
      const [from = Number.NaN, to = from] = range.split("-").map(Number);
      return Array.from({ length: to - from + 1 }, (_, i) => from + i);
    });
}

/** The first core for what is measured, the second for load and app, where there are two and `taskset` is. */
export function chooseCores(): Cores {
  const allowed = /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  const [first, second] = parseCpuList(allowed);
  if (first === undefined || second === undefined || programOnPath("taskset") === undefined)
    return { subject: undefined, load: undefined };
  return { subject: String(first), load: String(second) };
}
