import { accepting, freePort, requireProgram, startProgram } from "../measure/programs.ts";
import type { Setting, Subject } from "./subject.ts";

/** One nghttpx: HTTP/2 without TLS in and out. */
export async function startNghttpx(setting: Setting): Promise<Subject> {
  const program = requireProgram("nghttpx");
  const port = await freePort();
  const running = startProgram(setting.cores.subject, [
    program,
    `--frontend=127.0.0.1,${port};no-tls`,
    `--backend=127.0.0.1,${setting.appPort};;proto=h2`,
    ...["--workers=1", "--single-process", "--conf=/dev/null", "--log-level=ERROR", "--accesslog-file=/dev/null"],
  ]);
  await accepting(port, running);
  return { name: "nghttpx", port, pids: [running.pid], stop: () => running.stop() };
}
