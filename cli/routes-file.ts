import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { errorText, MeshError } from "../core/errors.ts";

const MAX_ROUTES = 100_000;
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const SERVER_NAME = /^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?$/;
const TARGET = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/;

/**
 * The routes of a YAML or JSON file, `{"routes": {"<server name>": "<host>:<port>"}}`, by server name in lower case.
 * @throws MeshError USAGE, which names the route that is wrong
 */
export function readRoutes(path: string): Map<string, { readonly host: string; readonly port: number }> {
  const invalid = (why: string, cause?: unknown) =>
    new MeshError("USAGE", `Cannot use the routes in ${path}: ${why}.`, { cause });
  let document: unknown;
  try {
    const text = readFileSync(path, "utf8");
    if (text.length > MAX_FILE_BYTES) throw new Error(`it is longer than ${MAX_FILE_BYTES} bytes`);
    document = parse(text);
  } catch (error) {
    throw invalid(errorText(error), error);
  }
  const named: unknown = document instanceof Object ? Reflect.get(document, "routes") : undefined;
  if (!(named instanceof Object) || Array.isArray(named)) throw invalid('want {"routes": {"<name>": "<host>:<port>"}}');
  const entries: [string, unknown][] = Object.entries(named);
  if (entries.length > MAX_ROUTES) throw invalid(`there are more than ${MAX_ROUTES}`);
  const routes = new Map<string, { host: string; port: number }>();
  for (const [written, value] of entries) {
    const name = written.toLowerCase();
    if (!SERVER_NAME.test(name)) throw invalid(`"${written.slice(0, 80)}" is no server name`);
    if (routes.has(name)) throw invalid(`${name} is there twice`);
    const match = TARGET.exec(String(value));
    const port = Number(match?.[3]);
    if (match === null || port < 1 || port > 65_535) throw invalid(`${name} leads to no host:port`);
    routes.set(name, { host: match[1] ?? match[2] ?? "", port });
  }
  return routes;
}
