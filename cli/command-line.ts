import { setMaxListeners } from "node:events";
import { Command, CommanderError } from "commander";
import { MeshError } from "../core/errors.ts";
import { type OutputFormat, reportFailure } from "./failure.ts";
import type { VerbContext } from "./program.ts";

/** Adds a verb to the command line. */
export type Register = (program: Command, context: VerbContext) => void;

const LINGER_MS = 2_000;

/** Before anything is parsed, so that a parse error can be printed as asked for. */
function outputFormat(argv: readonly string[]): OutputFormat {
  const end = argv.indexOf("--");
  const own = end < 0 ? argv : argv.slice(0, end);
  const at = own.findIndex((arg) => arg === "-o" || arg === "--output");
  const text =
    own.find((arg) => /^(-o|--output=)(json|yaml)$/.test(arg))?.replace(/^(-o|--output=)/, "") ?? own[at + 1];
  return at >= 0 || text === "json" || text === "yaml"
    ? ((text === "json" || text === "yaml" ? text : "table") as OutputFormat)
    : "table";
}

/** Runs `mesh <argv>` with the verbs that `load` gives, and sets the exit status. */
export async function runCommandLine(argv: readonly string[], load: () => Promise<readonly Register[]>): Promise<void> {
  const abort = new AbortController();
  // Many parts of a process listen to the one signal that ends it.
  setMaxListeners(0, abort.signal);
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      // A second signal means it: nothing is waited for any more.
      if (abort.signal.aborted) process.exit(130);
      abort.abort(
        new MeshError("ABORTED", `Cannot finish: interrupted by ${name}. Run the same command again to go on.`),
      );
    });
  }
  // The reader of a pipe may leave early (mesh services | head); that is no failure of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
  });
  const context: VerbContext = {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: abort.signal,
    exit: (code) => {
      process.exitCode = code;
    },
  };
  const program = new Command("mesh")
    .description("Links Kubernetes clusters: mirrored services, one trust, failover that you can drill.")
    .version("0.1.0")
    .showHelpAfterError(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .enablePositionalOptions();
  for (const register of await load()) register(program, context);
  const override = (command: Command) => {
    command.exitOverride();
    command.configureOutput({ writeErr: () => {} });
    for (const sub of command.commands) override(sub);
  };
  override(program);
  // Our clock's timers keep no process alive; a verb that waits must.
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    if (argv.length === 0) {
      process.stdout.write(program.helpInformation());
      return;
    }
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    process.exitCode = reportFailure(failureOf(error), outputFormat(argv), process.stderr);
    // What the failed verb left open must not keep the process.
    setTimeout(() => process.exit(), LINGER_MS).unref();
  } finally {
    clearInterval(alive);
  }
}

function failureOf(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (error.exitCode === 0) return process.exit(0);
  const what = error.message.replace(/^error: /, "");
  return new MeshError(
    "USAGE",
    `Cannot read the command line: ${what.endsWith(".") ? what : `${what}.`} See mesh --help.`,
  );
}
