import { errorText, MeshError, type MeshErrorCode } from "../core/errors.ts";

const MAX_MESSAGE = 1_000;

/** A `Status` object as far as errors need it. */
export interface ApiStatus {
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly name?: string;
    readonly causes?: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[];
  };
}

/** The `Status` that an error's body holds; undefined where it holds something else, as for an unknown path. */
export function statusOf(body: Buffer): ApiStatus | undefined {
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    return typeof parsed === "object" && parsed !== null && (parsed as { kind?: unknown }).kind === "Status"
      ? parsed
      : undefined;
  } catch {
    return undefined;
  }
}

/** What an HTTP error of the API server means, with the server's own words. `doing` is "create Service shop/web". */
export function apiError(doing: string, server: string, status: number, body: Buffer): MeshError {
  const parsed = statusOf(body);
  const said = (parsed?.message ?? body.toString("utf8", 0, MAX_MESSAGE))
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, MAX_MESSAGE);
  const { code, hint } = meaning(status);
  return new MeshError(code, `Cannot ${doing}: ${server} answered ${status}: ${said || "no message"}. ${hint}`);
}

function meaning(status: number): { code: MeshErrorCode; hint: string } {
  switch (status) {
    case 400:
    case 422:
      return { code: "KUBE_INVALID", hint: "Correct the object." };
    case 401:
      return { code: "KUBE_DENIED", hint: "Check the credentials of the context." };
    case 403:
      return { code: "KUBE_DENIED", hint: "Ask for the permission, or use another context." };
    case 404:
      return { code: "KUBE_NOT_FOUND", hint: "Check the name; where the kind is missing, run `mesh install`." };
    case 409:
      return { code: "KUBE_CONFLICT", hint: "Read it again and retry." };
    default:
      return { code: "KUBE_FAILED", hint: "Try again; if it stays, look at the API server's log." };
  }
}

const TLS_FAILURES = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET|VERIFY)|ERR_TLS_|ERR_SSL_|EPROTO$)/;

/** Why no answer came from `server`. */
export function networkError(doing: string, server: string, error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  const code = String((error as { code?: unknown }).code ?? "");
  const hint = TLS_FAILURES.test(code)
    ? "Check that the certificate authority and the client certificate in the kubeconfig belong to this server."
    : "Check that the cluster runs and that the address in the kubeconfig is right (`mesh up` starts local ones).";
  const text = errorText(error) || code;
  return new MeshError(
    "CLUSTER_UNREACHABLE",
    `Cannot ${doing}: API server ${server} cannot be reached: ${text}. ${hint}`,
    {
      cause: error,
    },
  );
}
