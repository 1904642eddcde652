import { connect } from "node:tls";
import type { Clock } from "../../core/clock.ts";
import type { LocalGateway } from "../../core/link.ts";
import { federationAuthority } from "./gateway-address.ts";

/** A gateway of the own cluster that takes longer for a handshake is taken for dead by the others. */
const ANSWER_MS = 400;

/** However many peers ask at once, the leader is asked by each other replica no more often than this. */
const ANSWER_HOLDS_MS = 250;

/** `ask`, once for all who want to know within a moment. */
export function sharedAnswer(clock: Clock, ask: () => Promise<boolean>): () => Promise<boolean> {
  let latest: { readonly atMs: number; readonly answer: Promise<boolean> } | undefined;
  return () => {
    const nowMs = clock.nowMs();
    if (latest === undefined || nowMs - latest.atMs > ANSWER_HOLDS_MS) latest = { atMs: nowMs, answer: ask() };
    return latest.answer;
  };
}

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
