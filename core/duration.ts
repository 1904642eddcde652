const DURATION = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/;
const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** What a timer can hold; longer is as good as this. */
const MAX_MS = 2_147_483_647;

/** Milliseconds of a duration such as "1m30s" (GEP-2257), at most about 24 days; undefined for what is none. */
export function parseDuration(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  let ms = 0;
  for (const [, count = "", unit = ""] of text.matchAll(/([0-9]+)(ms|h|m|s)/g))
    ms += Number(count) * (UNIT_MS[unit] ?? 0);
  return Math.min(ms, MAX_MS);
}
