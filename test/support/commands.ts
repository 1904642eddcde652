import { type ChildProcess, spawn } from "node:child_process";

export interface CommandResult {
  /** Exit status; -1 after a signal. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Of this process, where not said. */
  readonly cwd?: string;
  readonly input?: string;
  /** Called with the process once it runs, for tests that signal it. */
  readonly started?: (child: ChildProcess) => void;
  readonly limitMs?: number;
}

/** Runs a program to its end, whatever its status. Rejects where it cannot be started or outlives `limitMs`. */
export function run(file: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { env = process.env, cwd = process.cwd(), input, started, limitMs = 100_000 } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env, cwd, stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    let tooLong = false;
    const timer = setTimeout(() => {
      tooLong = true;
      child.kill("SIGKILL");
    }, limitMs);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    // A program that ends without reading its input is no failure of the test.
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (code) => {
      clearTimeout(timer);
      const said = `${file} ${args.join(" ")}\n${stdout}${stderr}`;
      if (tooLong) reject(new Error(`Still running after ${limitMs} ms: ${said}`));
      else resolve({ code: code ?? -1, stdout, stderr });
    });
    started?.(child);
  });
}

/** The same, and its standard output; rejects for any status but 0, with what the program said. */
export async function output(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(file, args, options);
  if (code === 0) return stdout;
  throw new Error(`Status ${code} of ${file} ${args.join(" ")}\n${stdout}${stderr}`);
}
