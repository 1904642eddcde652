import { freePort, type RunningProgram, requireProgram } from "../measure/programs.ts";
import type { Setting, Subject } from "./subject.ts";

/** A peer of one process, which `start` makes listen on `port`. @throws Missing where `program` is */
export async function startPeer(program: string, start: (port: number) => Promise<RunningProgram>): Promise<Subject> {
  requireProgram(program);
  const port = await freePort();
  const running = await start(port);
  return { name: program, port, pids: [running.pid], stop: () => running.stop() };
}

/** The two sides of a pair of peers with mutual TLS 1.3 between them, on `tlsPort`. */
interface PeerPair {
  inbound(tlsPort: number): Promise<RunningProgram>;
  outbound(port: number, tlsPort: number): Promise<RunningProgram>;
}

/** @throws Missing where `program` is, or what makes certificates */
export async function startPeerPair(
  program: string,
  setting: Setting,
  { inbound: startInbound, outbound: startOutbound }: PeerPair,
): Promise<Subject> {
  requireProgram(program);
  const { client } = setting.certificates();
  const [port, tlsPort] = [await freePort(), await freePort()];
  const inbound = await startInbound(tlsPort);
  const outbound = await startOutbound(port, tlsPort);
  return {
    name: program,
    port,
    handshakes: { address: `127.0.0.1:${tlsPort}`, client },
    pids: [outbound.pid, inbound.pid],
    async stop() {
      await outbound.stop();
      await inbound.stop();
    },
  };
}
