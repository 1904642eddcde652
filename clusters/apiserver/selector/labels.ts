import { isRecord } from "../object.ts";
import { badRequest } from "../status.ts";

type Labels = Readonly<Record<string, string>> | undefined;
export type LabelMatch = (labels: Labels) => boolean;

const KEY = /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const VALUE = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;

function unparsable(text: string, why: string): never {
  throw badRequest(`unable to parse requirement: ${why} in selector ${JSON.stringify(text.slice(0, 200))}`);
}

function split(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    const char = text[i];
    if (char === "(") depth++;
    else if (char === ")") depth--;
    if (i === text.length || (char === "," && depth === 0)) {
      parts.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  return parts.filter((part) => part !== "");
}

const EXPRESSION = /^(!?)\s*([^\s=!<>(),]+)\s*(?:(==|=|!=|>|<)\s*([^\s(),]*)|\s(in|notin)\s*\(([^()]*)\))?$/;

function requirement(text: string): LabelMatch {
  const match = EXPRESSION.exec(text);
  if (match === null) return unparsable(text, "found an unexpected token");
  const [, negated = "", key = "", operator = match[5] ?? "", value = "", , list = ""] = match;
  if (!KEY.test(key)) return unparsable(text, `invalid label key ${JSON.stringify(key)}`);
  const values = match[5] === undefined ? [value] : list.split(",").map((item) => item.trim());
  for (const one of values) if (!VALUE.test(one)) return unparsable(text, `invalid label value ${JSON.stringify(one)}`);
  const has = (labels: Labels) => labels !== undefined && Object.hasOwn(labels, key);
  const among = (labels: Labels) => has(labels) && values.includes(labels?.[key] ?? "");
  switch (operator) {
    case "":
      return negated === "!" ? (labels) => !has(labels) : has;
    case "=":
    case "==":
    case "in":
      return among;
    case "!=":
    case "notin":
      return (labels) => !among(labels);
    case ">":
      return (labels) => has(labels) && Number.parseInt(labels?.[key] ?? "", 10) > Number.parseInt(value, 10);
    case "<":
      return (labels) => has(labels) && Number.parseInt(labels?.[key] ?? "", 10) < Number.parseInt(value, 10);
    default:
      return unparsable(text, `unknown operator ${operator}`);
  }
}

/** The match of a label selector as a query string writes it; everything for "". @throws StatusError 400 */
export function parseLabelSelector(text: string): LabelMatch {
  const requirements = split(text).map(requirement);
  return (labels) => requirements.every((matches) => matches(labels));
}

/** The match of a meta/v1 LabelSelector; everything for an empty one, nothing for none. */
export function matchLabelSelector(selector: unknown): LabelMatch {
  if (!isRecord(selector)) return () => false;
  const wanted = Object.entries(isRecord(selector["matchLabels"]) ? selector["matchLabels"] : {});
  const expressions = Array.isArray(selector["matchExpressions"]) ? selector["matchExpressions"].filter(isRecord) : [];
  return (labels) =>
    wanted.every(([key, value]) => labels?.[key] === value) &&
    expressions.every((expression) => {
      const key = String(expression["key"]);
      const present = labels !== undefined && Object.hasOwn(labels, key);
      const values = Array.isArray(expression["values"]) ? expression["values"] : [];
      switch (expression["operator"]) {
        case "In":
          return present && values.includes(labels?.[key]);
        case "NotIn":
          return !present || !values.includes(labels?.[key]);
        case "Exists":
          return present;
        case "DoesNotExist":
          return !present;
        default:
          return false;
      }
    });
}
