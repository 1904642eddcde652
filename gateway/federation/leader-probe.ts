import { connect } from "node:tls";
import type { LocalGateway } from "../../core/link.ts";
import { federationAuthority } from "./gateway-address.ts";

/** A gateway of the own cluster that takes longer for a handshake is taken for dead by the others. */
const ANSWER_MS = 400;

/** Whether a replica other than the one at `own` says that it leads, and answers. */
export async function leaderAnswers(gateways: Iterable<LocalGateway>, own: string): Promise<boolean> {
  const leaders = [...gateways].filter((gateway) => gateway.leading === true && federationAuthority(gateway) !== own);
  const answers = await Promise.all(leaders.map(({ host, federationPort }) => answersTls(host, federationPort)));
  return answers.includes(true);
}

/**
 * Whether somebody there speaks TLS: a process that hangs still has its connections accepted. Who it is matters
 * little: nothing is said to it, and all that hangs on the answer is who takes a stream.
 */
function answersTls(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    const timer = setTimeout(() => done(false), ANSWER_MS);
    const done = (answered: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    };
    socket.once("secureConnect", () => done(true));
    socket.once("close", () => done(false));
    // "close" follows.
    socket.on("error", () => {});
  });
}
