import type { HeaderChange } from "../route/header-change.ts";
import { type Field, field } from "./hpack/field.ts";

/** Makes of `fields` what a rule says: those that it drops go, its own come last. */
export function changeFields(fields: Field[], { dropped, fields: added }: HeaderChange): void {
  let kept = 0;
  for (const each of fields) {
    if (dropped.some(({ text }) => text === each.name)) continue;
    fields[kept++] = each;
  }
  fields.length = kept;
  for (const { name, value } of added) fields.push(field(name, value));
}

/** Replaces the value of the fields called `name`; adds none. */
export function replaceField(fields: Field[], name: string, value: string): void {
  for (let i = 0; i < fields.length; i++) if (fields[i]?.name === name) fields[i] = field(name, value);
}
