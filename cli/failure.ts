import { errorText, MeshError } from "../core/errors.ts";

export type OutputFormat = "table" | "json" | "yaml";

/** Where verbs write; tests pass their own. */
export interface Console {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** 2 for what the caller got wrong on the command line, 130 for an interrupt, else 1. */
function exitCodeOf(error: MeshError): number {
  if (error.code === "USAGE") return 2;
  return error.code === "ABORTED" ? 130 : 1;
}

/** One line, `CODE: message`; with `-o json` an object instead. Never a stack. */
export function reportFailure(error: unknown, format: OutputFormat, out: NodeJS.WritableStream): number {
  const failure =
    error instanceof MeshError
      ? error
      : new MeshError("INTERNAL", `Cannot go on: ${errorText(error)}. This is a bug; please report it.`, {
          cause: error,
        });
  if (format === "json") out.write(`${JSON.stringify({ error: { code: failure.code, message: failure.message } })}\n`);
  else out.write(`${failure.code}: ${errorText(failure)}\n`);
  if (process.env["MESH_DEBUG"] !== undefined) out.write(`${(error as Error)?.stack ?? ""}\n`);
  return exitCodeOf(failure);
}
