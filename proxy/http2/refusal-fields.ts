import type { Refusal } from "../http1/engine.ts";
import { GRPC_UNAVAILABLE, grpcMessage, grpcStatusOfRefusal } from "./grpc-status.ts";
import { type Field, field } from "./hpack/field.ts";

const OK_STATUS = field(":status", "200");
const GRPC_TYPE = field("content-type", "application/grpc");
const TEXT_TYPE = field("content-type", "text/plain; charset=utf-8");

/** The text that goes with a refusal. */
export function refusalBody(refusal: Refusal): Buffer {
  return Buffer.from(`${textOf(refusal)}\n`, "utf8");
}

function textOf({ code, message }: Refusal): string {
  return code === undefined ? message : `${code}: ${message}`;
}

function furtherFields({ code, fields = [] }: Refusal): Field[] {
  const further = fields.map(([name, value]) => field(name, value));
  return code === undefined ? further : [field("x-causeway-error", code), ...further];
}

/** An answer of our own; for gRPC it is all in the header list (trailers-only). */
export function refusalFields(refusal: Refusal, bodyBytes: number): Field[] {
  return [
    field(":status", String(refusal.status)),
    TEXT_TYPE,
    field("content-length", String(bodyBytes)),
    ...furtherFields(refusal),
  ];
}

export function grpcRefusalFields(refusal: Refusal): Field[] {
  return [
    OK_STATUS,
    GRPC_TYPE,
    field("grpc-status", String(grpcStatusOfRefusal(refusal))),
    field("grpc-message", grpcMessage(textOf(refusal))),
    ...furtherFields(refusal),
  ];
}

/** Trailers for a gRPC answer that is cut short because of `refusal`. */
export function grpcCutFields(refusal: Refusal): Field[] {
  return [
    field("grpc-status", String(grpcStatusOfRefusal(refusal))),
    field("grpc-message", grpcMessage(textOf(refusal))),
    ...furtherFields(refusal),
  ];
}

/** Trailers for a gRPC answer that was cut off. */
export function grpcLostFields(): Field[] {
  return [
    field("grpc-status", String(GRPC_UNAVAILABLE)),
    field("grpc-message", "PROXY_RESET: The connection ended before the answer did."),
    field("x-causeway-error", "PROXY_RESET"),
  ];
}
