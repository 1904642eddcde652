import { accepting, requireProgram, startProgram } from "../measure/programs.ts";
import { startPeer } from "./peer.ts";
import type { Setting, Subject } from "./subject.ts";

/** One nghttpx: HTTP/2 without TLS in and out. */
export function startNghttpx(setting: Setting): Promise<Subject> {
  return startPeer("nghttpx", async (port) => {
    const running = startProgram(setting.cores.subject, [
      requireProgram("nghttpx"),
      `--frontend=127.0.0.1,${port};no-tls`,
      `--backend=127.0.0.1,${setting.appPort};;proto=h2`,
      ...["--workers=1", "--single-process", "--conf=/dev/null", "--log-level=ERROR", "--accesslog-file=/dev/null"],
    ]);
    await accepting(port, running);
    return running;
  });
}
