import type { IncomingMessage, ServerResponse } from "node:http";
import type { User } from "../auth/tokens.ts";
import { StatusError } from "../status.ts";
import type { RequestInfo } from "./request.ts";

/** One authenticated request on its way. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly info: RequestInfo;
  readonly user: User;
}

/** Answers with JSON. */
export function sendJson(
  response: ServerResponse,
  code: number,
  body: unknown,
  contentType = "application/json",
): void {
  const text = Buffer.from(`${JSON.stringify(body)}\n`);
  response.writeHead(code, {
    "content-type": contentType,
    "content-length": text.length,
    "cache-control": "no-cache, private",
  });
  response.end(text);
}

/** Adds a warning that kubectl shows (RFC 7234, code 299). */
export function addWarning(response: ServerResponse, text: string): void {
  const safe = text.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&");
  response.appendHeader("warning", `299 - "${safe}"`);
}

/** Answers with a metav1.Status; what is no StatusError is a 500 without details. */
export function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const status =
    error instanceof StatusError ? error : new StatusError(500, "InternalError", "Internal error occurred");
  if (status.httpCode === 401) response.setHeader("www-authenticate", "Bearer");
  if (status.details?.retryAfterSeconds !== undefined)
    response.setHeader("retry-after", String(status.details.retryAfterSeconds));
  // The rest of an oversized body is not worth reading.
  if (status.httpCode === 413) response.setHeader("connection", "close");
  sendJson(response, status.httpCode, status.body());
}
