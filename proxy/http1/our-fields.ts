import { type Head, OURS } from "./head.ts";
import { ascii, matches } from "./syntax.ts";

const ERROR = ascii("x-causeway-error");
const RETRIES_LEFT = ascii("x-causeway-retries-left");
const PREFER = ascii("x-causeway-prefer");

const DEADLINE = ascii("x-causeway-deadline-ms");

const RETRIES_LINE = "x-causeway-retries-left: 0\r\n";
const DEADLINE_LINE = "x-causeway-deadline-ms: 00000000\r\n";
const DEADLINE_DIGITS = 8;
const MAX_DEADLINE_MS = 10 ** DEADLINE_DIGITS - 1;

/** How the field for the budget of retries is laid out: as the last one added, so that its digit can be found. */
export const RETRIES_LEFT_FIELD = Buffer.from(RETRIES_LINE, "latin1");
/** The same with the field for what is left of the request's time before it. */
export const DEADLINE_AND_RETRIES_FIELDS = Buffer.from(DEADLINE_LINE + RETRIES_LINE, "latin1");
/** Distance of that digit from the end of a head. */
const RETRIES_LEFT_DIGIT = 5;

/** Writes what is left of both into a head that ends at `headLength` with the fields as laid out above. */
export function putBudget(held: Buffer, headLength: number, retriesLeft: number, leftMs: number): void {
  held[headLength - RETRIES_LEFT_DIGIT] = 48 + retriesLeft;
  if (leftMs === Number.POSITIVE_INFINITY) return;
  let rest = Math.min(MAX_DEADLINE_MS, Math.max(0, Math.floor(leftMs)));
  // Before the empty line, the other field and the line's end.
  let at = headLength - 2 - RETRIES_LINE.length - 2;
  for (let i = 0; i < DEADLINE_DIGITS; i++) {
    held[--at] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

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

/** How many ms the caller has left for this request; undefined where it does not say. */
export function deadlineOf(head: Head, b: Buffer): number | undefined {
  const value = fieldValue(head, b, DEADLINE);
  return value !== undefined && /^[0-9]{1,8}$/.test(value) ? Number(value) : undefined;
}

/** The cluster that the app would have answer, before the usual order; "" where it has no wish. */
export function preferOf(head: Head, b: Buffer): string {
  return fieldValue(head, b, PREFER) ?? "";
}
