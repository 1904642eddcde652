import { type ApiObject, at } from "../object.ts";
import { badRequest } from "../status.ts";

export type FieldMatch = (object: ApiObject) => boolean;

/** Splits on commas that no backslash escapes, and takes the escapes away. */
function terms(text: string): string[] {
  return text
    .split(/(?<!\\),/)
    .map((term) => term.trim())
    .filter((term) => term !== "");
}

/** The match of a field selector over the fields that the kind supports. @throws StatusError 400 */
export function parseFieldSelector(text: string, supported: ReadonlySet<string>): FieldMatch {
  const matches = terms(text).map((term): FieldMatch => {
    const found = /^([^=!]+?)(!=|==|=)(.*)$/.exec(term);
    if (found === null) throw badRequest(`invalid selector: '${term}'; can't understand '${term}'`);
    const [, field = "", operator = "", raw = ""] = found;
    if (!supported.has(field)) throw badRequest(`field label not supported: ${field}`);
    const path = field.split(".");
    const value = raw.replace(/\\([\\,=])/g, "$1");
    return (object) => {
      const actual = at(object, ...path);
      const shown = actual === undefined || actual === null ? "" : String(actual);
      return (shown === value) === (operator !== "!=");
    };
  });
  return (object) => matches.every((match) => match(object));
}
