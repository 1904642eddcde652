/**
 * The first value of `probe` that is neither false nor undefined; asks every few ms of real time. Throws after `forMs`
 * with the last error or value. For conditions without an event; the test's own time limit is the wider bound.
 */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  forMs = 15_000,
): Promise<Exclude<T, false | undefined>> {
  const untilMs = performance.now() + forMs;
  for (;;) {
    let last: unknown;
    try {
      const value = await probe();
      if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
      last = new Error(`Still ${String(value)} after ${forMs} ms: ${probe.toString()}`);
    } catch (error) {
      last = error;
    }
    if (performance.now() > untilMs) throw last;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
