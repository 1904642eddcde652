import { type Head, NOMINATED, OTHER } from "./head.ts";
import { matches } from "./syntax.ts";

/** Marks the fields called so (names in lower case) as not to be forwarded. What frames or addresses the message stays. */
export function dropFields(head: Head, b: Buffer, names: readonly { readonly octets: Uint8Array }[]): void {
  const { kinds, at, count } = head;
  for (let f = 0; f < count; f++) {
    if (kinds[f] !== OTHER) continue;
    const start = at[f * 4] as number;
    const length = (at[f * 4 + 1] as number) - start;
    for (const { octets } of names) {
      if (octets.length !== length || !matches(b, start, octets)) continue;
      kinds[f] = NOMINATED;
      head.present |= 1 << NOMINATED;
      break;
    }
  }
}
