import type { MeshError, MeshErrorCode } from "../../core/errors.ts";
import type { Service } from "../balance/service.ts";
import type { TryFailure } from "../http1/client-connection.ts";
import type { Refusal } from "../http1/engine.ts";

/** `of`: what took too long. */
export function timedOut(authority: string, of: string): Refusal {
  return { status: 504, code: "PROXY_TIMEOUT", message: `Cannot reach ${authority}: the time for ${of} ran out.` };
}

/** Nothing is wrong with the service but that more is asked of it than connections to it may carry. */
export function overloaded(authority: string): Refusal {
  return {
    status: 503,
    code: "PROXY_OVERLOADED",
    message: `Cannot reach ${authority}: too many requests wait for a connection to it.`,
    fields: [["retry-after", "1"]],
  };
}

/** Why the last try came to nothing. */
interface LastTry {
  readonly dialError: MeshError | undefined;
  readonly service: Service | undefined;
}

/** The one place where a failure to reach a service becomes HTTP. */
export function refusalFor(authority: string, failure: TryFailure | undefined, state: LastTry): Refusal {
  const to = (status: number, code: MeshErrorCode, why: string): Refusal => ({
    status,
    code,
    message: `Cannot reach ${authority}: ${why}`,
  });
  switch (failure) {
    case undefined:
      return to(503, "PROXY_NO_ENDPOINTS", `${obstaclesTo(state.service)}. Check mesh services and mesh links.`);
    case "connect":
      return to(503, "PROXY_CONNECT_FAILED", state.dialError?.message ?? "no connection could be made.");
    case "untaken":
      return to(503, "PROXY_CONNECT_FAILED", "its proxy takes no new requests.");
    case "reset":
    case "abandoned":
      return to(502, "PROXY_RESET", "the connection ended before the answer.");
    case "timeout":
      return to(504, "PROXY_TIMEOUT", "no answer came in time.");
    case "malformed":
      return to(502, "PROXY_BAD_RESPONSE", "the answer breaks HTTP's framing rules.");
    case "refused":
      return to(503, "PROXY_CONNECT_FAILED", "its proxy cannot reach the app.");
    default:
      return failure satisfies never;
  }
}

/** Why nothing could even be tried. */
function obstaclesTo(service: Service | undefined): string {
  const text = service?.obstacles().text ?? "";
  return text === "" ? "no endpoint can take the request" : text;
}
