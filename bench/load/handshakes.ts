import { requireProgram, runProgram } from "../measure/programs.ts";
import { CIPHER, type HandshakeTarget } from "../subjects/subject.ts";

/** Enough that the server never waits for a client. */
const CLIENTS = 6;

/** How many connections `openssl s_time` made. @throws Error where it says something else */
export function parseSTime(text: string): number {
  const match = /^(\d+) connections in \d+ real seconds/m.exec(text);
  if (match === null) throw new Error(`openssl said: ${text.trim().slice(-500)}`);
  return Number(match[1]);
}

/** Full TLS 1.3 handshakes with a client certificate, each on a new connection: how many in `seconds`. */
export async function runHandshakes(
  core: string | undefined,
  target: HandshakeTarget,
  seconds: number,
): Promise<number> {
  const { chain, key } = target.client;
  const counts = await Promise.all(
    Array.from({ length: CLIENTS }, async () =>
      parseSTime(
        await runProgram(core, [
          requireProgram("openssl"),
          "s_time",
          ...["-connect", target.address, "-new", "-time", String(seconds)],
          ...["-tls1_3", "-ciphersuites", CIPHER, "-cert", chain, "-key", key],
        ]),
      ),
    ),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}
