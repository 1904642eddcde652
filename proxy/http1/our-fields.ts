import { type Head, OURS } from "./head.ts";
import { ascii, matches } from "./syntax.ts";

const ERROR = ascii("x-causeway-error");
const RETRIES_LEFT = ascii("x-causeway-retries-left");
const PREFER = ascii("x-causeway-prefer");

/** How the field for the budget of retries is laid out: as the last one added, so that its digit can be found. */
export const RETRIES_LEFT_FIELD = Buffer.from("x-causeway-retries-left: 0\r\n", "latin1");
/** Distance of that digit from the end of a head. */
export const RETRIES_LEFT_DIGIT = 5;

function fieldValue(head: Head, b: Buffer, name: Uint8Array): string | undefined {
  if ((head.present & (1 << OURS)) === 0) return undefined;
  for (let f = 0; f < head.count; f++) {
    if (head.kinds[f] !== OURS) continue;
    const start = head.at[f * 4] as number;
    if ((head.at[f * 4 + 1] as number) - start !== name.length || !matches(b, start, name)) continue;
    return b.toString("latin1", head.at[f * 4 + 2], head.at[f * 4 + 3]);
  }
  return undefined;
}

/** The code that a proxy of the mesh answered with. */
export function errorOf(head: Head, b: Buffer): string | undefined {
  return fieldValue(head, b, ERROR);
}

/** How many retries the caller leaves for this and further hops; undefined where it does not say. */
export function retriesLeftOf(head: Head, b: Buffer): number | undefined {
  const value = fieldValue(head, b, RETRIES_LEFT);
  return value !== undefined && /^[0-9]$/.test(value) ? Number(value) : undefined;
}

/** The cluster that the app would have answer, before the usual order; "" where it has no wish. */
export function preferOf(head: Head, b: Buffer): string {
  return fieldValue(head, b, PREFER) ?? "";
}
