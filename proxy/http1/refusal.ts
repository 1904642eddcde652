import type { Refusal } from "./engine.ts";

const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** An answer of our own, whole: the code in `x-causeway-error`, the message as its body. */
export function refusalText(refusal: Refusal, headOnly: boolean, close: boolean): Buffer {
  const body = Buffer.from(`${refusal.code}: ${refusal.message}\n`, "utf8");
  const head = [
    `HTTP/1.1 ${refusal.status} ${REASONS[refusal.status] ?? "Error"}`,
    "content-type: text/plain; charset=utf-8",
    `content-length: ${body.length}`,
    `x-causeway-error: ${refusal.code}`,
    ...(close ? ["connection: close"] : []),
    "",
    "",
  ].join("\r\n");
  return headOnly ? Buffer.from(head, "latin1") : Buffer.concat([Buffer.from(head, "latin1"), body]);
}
