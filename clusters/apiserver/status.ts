import { MeshError, type MeshErrorCode } from "../../core/errors.ts";

/** One cause of a 422 (metav1.StatusCause). */
export interface Cause {
  readonly reason:
    | "FieldValueRequired"
    | "FieldValueInvalid"
    | "FieldValueDuplicate"
    | "FieldValueNotSupported"
    | "FieldValueForbidden"
    | "FieldValueTooLong"
    | "FieldValueTooMany"
    | "FieldValueTypeInvalid"
    | "FieldValueNotFound";
  readonly message: string;
  readonly field: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: readonly Cause[];
  retryAfterSeconds?: number;
}

const CODES: Readonly<Record<number, MeshErrorCode>> = {
  400: "KUBE_INVALID",
  401: "KUBE_DENIED",
  403: "KUBE_DENIED",
  404: "KUBE_NOT_FOUND",
  409: "KUBE_CONFLICT",
  415: "KUBE_INVALID",
  422: "KUBE_INVALID",
};

/** An answer that is an error: carries what its metav1.Status says. */
export class StatusError extends MeshError {
  readonly httpCode: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;
  constructor(httpCode: number, reason: string, message: string, details?: StatusDetails) {
    super(CODES[httpCode] ?? "KUBE_FAILED", message);
    this.name = "StatusError";
    this.httpCode = httpCode;
    this.reason = reason;
    this.details = details;
  }

  /** metav1.Status as JSON. */
  body(): Record<string, unknown> {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.httpCode,
    };
  }
}

/** What an error is about: "" for the core group. */
export interface ResourceName {
  readonly group: string;
  readonly resource: string;
}

/** `pods`, or `deployments.apps`. */
function qualified({ group, resource }: ResourceName): string {
  return group === "" ? resource : `${resource}.${group}`;
}

function details({ group, resource }: ResourceName, name: string, extra: StatusDetails = {}): StatusDetails {
  return { ...(name === "" ? {} : { name }), ...(group === "" ? {} : { group }), kind: resource, ...extra };
}

export function notFound(of: ResourceName, name: string): StatusError {
  return new StatusError(404, "NotFound", `${qualified(of)} "${name}" not found`, details(of, name));
}

export function pathNotFound(): StatusError {
  return new StatusError(404, "NotFound", "the server could not find the requested resource");
}

export function alreadyExists(of: ResourceName, name: string): StatusError {
  return new StatusError(409, "AlreadyExists", `${qualified(of)} "${name}" already exists`, details(of, name));
}

export function conflict(of: ResourceName, name: string, why: string): StatusError {
  return new StatusError(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(of)} "${name}": ${why}`,
    details(of, name),
  );
}

/** Someone else wrote first. */
export function modified(of: ResourceName, name: string): StatusError {
  return conflict(
    of,
    name,
    "the object has been modified; please apply your changes to the latest version and try again",
  );
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, "BadRequest", message);
}

export function forbidden(of: ResourceName, name: string, why: string): StatusError {
  const what = name === "" ? qualified(of) : `${qualified(of)} "${name}"`;
  return new StatusError(403, "Forbidden", `${what} is forbidden: ${why}`, details(of, name));
}

export function unauthorized(): StatusError {
  return new StatusError(401, "Unauthorized", "Unauthorized");
}

export function methodNotAllowed(): StatusError {
  return new StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
}

export function unsupportedMediaType(accepted: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`;
  return new StatusError(415, "UnsupportedMediaType", message);
}

export function tooLarge(limitBytes: number): StatusError {
  return new StatusError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${limitBytes}`);
}

export function expired(message: string): StatusError {
  return new StatusError(410, "Expired", message);
}

export function tooManyRequests(message: string): StatusError {
  return new StatusError(429, "TooManyRequests", message, { retryAfterSeconds: 1 });
}

/** 422 with every cause, worded as apimachinery's field.ErrorList. */
export function invalid(group: string, kind: string, name: string, causes: readonly Cause[]): StatusError {
  const texts = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const all = texts.length === 1 ? (texts[0] ?? "") : `[${texts.join(", ")}]`;
  const message = `${group === "" ? kind : `${kind}.${group}`} "${name}" is invalid: ${all}`;
  return new StatusError(422, "Invalid", message, {
    ...(name === "" ? {} : { name }),
    ...(group === "" ? {} : { group }),
    kind,
    causes,
  });
}

/** A value as Kubernetes quotes it in messages. */
function shown(value: unknown): string {
  return value === undefined ? "null" : JSON.stringify(value);
}

export function required(field: string, detail = ""): Cause {
  return {
    reason: "FieldValueRequired",
    field,
    message: detail === "" ? "Required value" : `Required value: ${detail}`,
  };
}

export function invalidValue(field: string, value: unknown, detail: string): Cause {
  return { reason: "FieldValueInvalid", field, message: `Invalid value: ${shown(value)}: ${detail}` };
}

export function notSupported(field: string, value: unknown, supported: readonly unknown[]): Cause {
  const values = supported.map(shown).join(", ");
  return {
    reason: "FieldValueNotSupported",
    field,
    message: `Unsupported value: ${shown(value)}: supported values: ${values}`,
  };
}

export function duplicate(field: string, value: unknown): Cause {
  return { reason: "FieldValueDuplicate", field, message: `Duplicate value: ${shown(value)}` };
}

export function forbiddenField(field: string, detail: string): Cause {
  return { reason: "FieldValueForbidden", field, message: `Forbidden: ${detail}` };
}
