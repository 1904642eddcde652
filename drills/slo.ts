import { MeshError } from "../core/errors.ts";
import type { Slo } from "./report.ts";

/** What a drill must keep where nothing else is asked for; local clusters restart their pods on the same processors. */
export const DEFAULT_SLO: Slo = { failures: 0, p99Ms: 1_000, shiftMs: 2_000 };

/** "failures=0,p99=500ms,shift=2s"; what is left out stays as it is by default. @throws MeshError USAGE */
export function parseSlo(text: string): Slo {
  const slo: { -readonly [K in keyof Slo]: Slo[K] } = { ...DEFAULT_SLO };
  for (const part of text.split(",")) {
    const count = /^failures=(\d{1,9})$/.exec(part.trim());
    const time = /^(p99|shift)=(\d{1,9})(ms|s)$/.exec(part.trim());
    if (count !== null) slo.failures = Number(count[1]);
    else if (time !== null)
      slo[time[1] === "p99" ? "p99Ms" : "shiftMs"] = Number(time[2]) * (time[3] === "s" ? 1_000 : 1);
    else
      throw new MeshError(
        "USAGE",
        `Cannot read the SLO "${text.slice(0, 80)}": want for example failures=0,p99=500ms,shift=2s.`,
      );
  }
  return slo;
}
