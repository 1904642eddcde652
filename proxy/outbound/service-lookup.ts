import { parseAuthority } from "../http1/authority.ts";
import type { Refusal } from "../http1/engine.ts";
import type { Entry, ServiceTable } from "./service-table.ts";

export function badRequest(message: string): Refusal {
  return { status: 400, code: "PROXY_BAD_REQUEST", message: `Cannot read the request: ${message}.` };
}

/** The entry of an authority as the app wrote it, or why there is none. `defaultPort` 0: a port must be named. */
export function lookUp(services: ServiceTable, text: string, defaultPort: number): Entry | Refusal {
  const authority = parseAuthority(text, defaultPort);
  if (authority === undefined) return badRequest("its authority is malformed");
  const entry = services.lookup(authority.key);
  if (entry !== undefined) return entry;
  return { status: 503, code: "PROXY_OVERLOADED", message: "Cannot look the name up: too many names are in use." };
}

/** `again` is called once control has answered, or its time is over; a refusal where that is so already. */
export function awaitAnswer(services: ServiceTable, entry: Entry, again: () => void): Refusal | undefined {
  if (entry.expired) {
    return {
      status: 503,
      code: "PROXY_TIMEOUT",
      message: `Cannot look ${entry.authority} up: control does not answer. Check mesh serve.`,
    };
  }
  services.wait(entry.authority, again);
  return undefined;
}

export function notFound(entry: Entry): Refusal {
  return {
    status: 503,
    code: "PROXY_UNKNOWN_SERVICE",
    message: `Cannot reach ${entry.authority}: no such service here. Check the name, or export it.`,
  };
}
