import { median } from "../measure/median.ts";

/** One measurement of one subject; what a suite does not measure is missing. */
export interface Sample {
  readonly rps?: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
  readonly p999Us?: number;
  /** CPU seconds of the proxies per 100,000 requests. */
  readonly cpuPer100k?: number;
  /** The part of it that was spent in the kernel. */
  readonly systemPer100k?: number;
  readonly errors?: number;
  readonly handshakesPerSecond?: number;
  readonly cpuPer100kHandshakes?: number;
  readonly connectionsPerSecond?: number;
  readonly cpuPer100kConnections?: number;
  readonly bulkMbPerSecond?: number;
  readonly cpuPerGb?: number;
}

export type Figure = keyof Sample;

export interface SubjectResult extends Readonly<Partial<Record<Figure, number | null>>> {
  readonly name: string;
  readonly rssMb: number | null;
  readonly privateMb: number | null;
}

/** The median of each figure over the samples, its errors summed. */
export function summarise(samples: readonly Sample[]): Partial<Record<Figure, number>> {
  const result: Partial<Record<Figure, number>> = {};
  const figures = new Set(samples.flatMap((sample) => Object.keys(sample) as Figure[]));
  for (const figure of figures) {
    const values = samples.flatMap((sample) => sample[figure] ?? []);
    result[figure] = figure === "errors" ? values.reduce((sum, value) => sum + value, 0) : median(values);
  }
  return result;
}
