/** Where the change stream begins. */
export const ORIGIN = "0-0";

const COUNT_BITS = 21n;

/** A stream id `<ms>-<n>`, n below 2^21, as a number that orders like it. */
export function revisionOf(id: string): bigint {
  const dash = id.indexOf("-");
  return (BigInt(id.slice(0, dash)) << COUNT_BITS) | BigInt(id.slice(dash + 1));
}

/** The stream id of a revision. */
export function streamId(revision: bigint): string {
  return `${revision >> COUNT_BITS}-${revision & ((1n << COUNT_BITS) - 1n)}`;
}
