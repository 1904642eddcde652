import type { PathChange, RouteFilter } from "../../core/route.ts";
import type { RequestView } from "./request-view.ts";

export type Redirect = Extract<RouteFilter, { kind: "redirect" }>;

/** The path that `change` makes of `path`, whose first `prefixLength` characters a prefix matched (Gateway API's table). */
export function changedPath(path: string, change: PathChange, prefixLength: number): string {
  if (change.kind === "full") return change.value === "" ? "/" : change.value;
  const rest = path.slice(prefixLength);
  const replaced = rest === "" ? change.value : change.value.replace(/\/+$/, "") + rest;
  return replaced.startsWith("/") ? replaced : `/${replaced}`;
}

/** Path and query with the path changed; the query stays. */
export function changedTarget(view: RequestView, change: PathChange, prefixLength: number): string {
  const query = view.query();
  const path = changedPath(view.path(), change, prefixLength);
  return query === undefined ? path : `${path}?${query}`;
}

const PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 };

/**
 * The Location of a redirect (HTTPRequestRedirectFilter of Gateway API). `host` and `port` are those that the request
 * names, its scheme is http: what apps send in TLS is not read. Without a port of its own a redirect goes to the
 * well-known one of the scheme that it names, or where it names none, to the request's.
 */
export function locationOf(
  redirect: Redirect,
  view: RequestView,
  host: string,
  port: number,
  prefixLength: number,
): string {
  const scheme = redirect.scheme === "" ? "http" : redirect.scheme;
  const to = redirect.port > 0 ? redirect.port : redirect.scheme === "" ? port : (PORTS[scheme] ?? port);
  const name = redirect.host === "" ? host : redirect.host;
  const shown = name.includes(":") && !name.startsWith("[") ? `[${name}]` : name;
  const query = view.query();
  const path = redirect.path === undefined ? view.path() : changedPath(view.path(), redirect.path, prefixLength);
  const suffix = PORTS[scheme] === to ? "" : `:${to}`;
  return `${scheme}://${shown}${suffix}${path}${query === undefined ? "" : `?${query}`}`;
}
