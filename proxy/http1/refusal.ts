import type { Refusal } from "./engine.ts";

function badRequest(status: number, why: string): Refusal {
  return { status, code: "PROXY_BAD_REQUEST", message: `Cannot read the request: ${why}.` };
}

function late(status: number, message: string): Refusal {
  return { status, code: "PROXY_TIMEOUT", message };
}

export const HEAD_MALFORMED = badRequest(400, "the request breaks HTTP's framing rules");
export const HEAD_TOO_LARGE = badRequest(431, "the head is too large");
export const MALFORMED_CHUNKS = badRequest(400, "its chunks are malformed");
/** What follows the head of a CONNECT is the tunnel (RFC 9110 section 9.3.6); a length says otherwise. */
export const BODY_ON_CONNECT = badRequest(400, "a CONNECT has no body");
export const HEAD_TOO_SLOW = late(408, "Cannot read the request: its head did not arrive in time.");
export const BODY_TOO_SLOW = late(408, "Cannot read the request: its body did not arrive in time.");
export const BODY_STALLED = late(504, "Cannot pass the request on: its body is not taken.");

const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** An answer of our own, whole: the code in `x-causeway-error`, the message as its body. */
export function refusalText(refusal: Refusal, headOnly: boolean, close: boolean): Buffer {
  const { code, message, fields = [] } = refusal;
  const body = Buffer.from(code === undefined ? `${message}\n` : `${code}: ${message}\n`, "utf8");
  const head = [
    `HTTP/1.1 ${refusal.status} ${REASONS[refusal.status] ?? "Error"}`,
    "content-type: text/plain; charset=utf-8",
    `content-length: ${body.length}`,
    ...(code === undefined ? [] : [`x-causeway-error: ${code}`]),
    ...fields.map(([name, value]) => `${name}: ${value}`),
    ...(close ? ["connection: close"] : []),
    "",
    "",
  ].join("\r\n");
  return headOnly ? Buffer.from(head, "latin1") : Buffer.concat([Buffer.from(head, "latin1"), body]);
}
