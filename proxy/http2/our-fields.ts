import { type Field, field } from "./hpack/field.ts";

const RETRIES_LEFT: readonly Field[] = Array.from({ length: 10 }, (_, left) =>
  field("x-causeway-retries-left", String(left)),
);
/** As many digits as a receiver reads. */
const MAX_DEADLINE_MS = 99_999_999;

/** Says that `left` retries, 0 to 9, are left; the same field for the same number. */
export function retriesLeftField(left: number): Field {
  return RETRIES_LEFT[left] as Field;
}

/** Says how much time is left. Of no use to a table: it is another one each time. */
export function deadlineField(ms: number): Field {
  const whole = Math.min(MAX_DEADLINE_MS, Math.max(0, Math.floor(ms)));
  return field("x-causeway-deadline-ms", String(whole), true);
}
