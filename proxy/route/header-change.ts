import type { HeaderModifier, HeaderValue } from "../../core/route.ts";
import { type Word, word } from "./request-view.ts";

/** What becomes of a message's fields: those called like `dropped` go, then `fields` are put at the end. */
export interface HeaderChange {
  readonly dropped: readonly Word[];
  /** Names in lower case; octets as latin1 code units. */
  readonly fields: readonly HeaderValue[];
  /** The same as lines of HTTP/1.1. */
  readonly lines: Buffer;
}

/** Of all fields that a rule adds to a message. */
const MAX_ADDED_BYTES = 8_192;

/** What frames or addresses a message, or ends at a hop, or is the mesh's own: no rule changes it. */
const FIXED =
  /^(?::.*|host|connection|keep-alive|proxy-connection|proxy-authorization|te|trailer|transfer-encoding|content-length|upgrade|expect|x[-_]causeway[-_].*)$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]{1,256}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
const UNSAFE = /[\x00-\x08\x0a-\x1f\x7f]/;

/** Whether a rule may set a field to this: nothing that could end the line or change how the message is framed. */
export function mayChange(name: string, value = ""): boolean {
  return TOKEN.test(name) && !FIXED.test(name) && !UNSAFE.test(value) && value === value.trim();
}

/** All modifiers of a request or response as one change, in their order; undefined where they change nothing. */
export function changeOf(modifiers: readonly HeaderModifier[]): HeaderChange | undefined {
  const dropped = new Set<string>();
  let fields: HeaderValue[] = [];
  const drop = (name: string) => {
    dropped.add(name);
    fields = fields.filter((field) => field.name !== name);
  };
  for (const { set, add, remove } of modifiers) {
    for (const { name, value } of set) {
      if (!mayChange(name, value)) continue;
      drop(name);
      fields.push({ name, value });
    }
    for (const { name, value } of add) if (mayChange(name, value)) fields.push({ name, value });
    for (const name of remove) if (mayChange(name)) drop(name);
  }
  if (dropped.size === 0 && fields.length === 0) return undefined;
  let octets = 0;
  fields = fields.filter(({ name, value }) => {
    octets += name.length + Buffer.byteLength(value) + 4;
    return octets <= MAX_ADDED_BYTES;
  });
  const lines = fields.map(({ name, value }) => `${name}: ${value}\r\n`).join("");
  return {
    dropped: [...dropped].map(word),
    fields: fields.map(({ name, value }) => ({ name, value: word(value).text })),
    lines: Buffer.from(lines, "utf8"),
  };
}
