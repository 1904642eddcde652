import type { NamedMatch, RouteMatch, ValueMatch } from "../../core/route.ts";
import { compileRouteRegex } from "../../core/route-regex.ts";
import { type RequestView, type Word, word } from "./request-view.ts";

/** Whether a request meets one condition. */
type Condition = (view: RequestView) => boolean;

export interface CompiledMatch {
  readonly conditions: readonly Condition[];
  /** Characters of the path that a prefix stands for; 0 where the path is not matched by a prefix. */
  readonly prefixLength: number;
}

/** Longest value, in octets, that a regular expression is run over; a longer one does not match. */
const MAX_REGEX_INPUT = 8_192;

/** What all requests meet. */
export const ANY_REQUEST: CompiledMatch = { conditions: [], prefixLength: 0 };

/** @throws MeshError USAGE for a regular expression that cannot be used */
export function compileMatch({ path, method, headers, query }: RouteMatch): CompiledMatch {
  const conditions: Condition[] = [];
  // What is cheap and tells most comes first.
  if (method !== "") {
    const wanted = word(method);
    conditions.push((view) => view.methodIs(wanted));
  }
  let prefixLength = 0;
  if (path !== undefined) {
    const prefix = prefixOf(path);
    if (prefix === undefined) conditions.push(pathCondition(path));
    else {
      prefixLength = prefix.text.length;
      if (prefixLength > 0) conditions.push((view) => view.pathBegins(prefix));
    }
  }
  conditions.push(...headers.map(headerCondition));
  if (query.length > 0) conditions.push(queryCondition(query));
  return { conditions, prefixLength };
}

export function meets({ conditions }: CompiledMatch, view: RequestView): boolean {
  for (let i = 0; i < conditions.length; i++) if (!(conditions[i] as Condition)(view)) return false;
  return true;
}

/** A prefix matches whole segments, so a slash at its end says nothing. */
function prefixOf({ kind, value }: ValueMatch): Word | undefined {
  return kind === "prefix" ? word(value.replace(/\/+$/, "")) : undefined;
}

function pathCondition({ kind, value }: ValueMatch): Condition {
  if (kind !== "regex") {
    const path = word(value);
    return (view) => view.pathIs(path);
  }
  const regex = compileRouteRegex(value);
  return (view) => view.pathMatches(regex);
}

function headerCondition({ name, value }: NamedMatch): Condition {
  const header = word(name.toLowerCase());
  if (value.kind === "exact") {
    const wanted = word(value.value);
    return (view) => view.headerIs(header, wanted);
  }
  const holds = valueTest(value);
  return (view) => {
    const given = view.header(header);
    return given !== undefined && holds(given);
  };
}

function valueTest({ kind, value }: ValueMatch): (given: string) => boolean {
  const { text } = word(value);
  switch (kind) {
    case "exact":
      return (given) => given === text;
    case "prefix":
      return (given) => given.startsWith(text);
    case "regex": {
      const regex = compileRouteRegex(value);
      return (given) => {
        if (given.length > MAX_REGEX_INPUT) return false;
        const octets = Buffer.from(given, "latin1");
        return regex.testBytes(octets, 0, octets.length);
      };
    }
    default:
      return kind satisfies never;
  }
}

/** All parameters at once, so that the query is taken apart once. Of several with one name the first counts. */
function queryCondition(wanted: readonly NamedMatch[]): Condition {
  const tests = wanted.map(({ name, value }) => ({ name: word(name).text, holds: valueTest(value) }));
  return (view) => {
    const query = view.query();
    if (query === undefined) return false;
    const given = parametersOf(query);
    return tests.every(({ name, holds }) => {
      const value = given.get(name);
      return value !== undefined && holds(value);
    });
  };
}

function parametersOf(query: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const part of query.split("&")) {
    const at = part.indexOf("=");
    const name = decoded(at < 0 ? part : part.slice(0, at));
    if (!found.has(name)) found.set(name, at < 0 ? "" : decoded(part.slice(at + 1)));
  }
  return found;
}

/** As forms are encoded; an escape that is none stays as it is. */
function decoded(text: string): string {
  if (!/[%+]/.test(text)) return text;
  return text
    .replace(/\+/g, " ")
    .replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}
