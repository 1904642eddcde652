import { type AddressInfo, connect } from "node:net";
import type { Log } from "../core/log.ts";
import type { ByteStream } from "../transport/byte-stream.ts";
import { type OriginalDestinations, plainAddress } from "../transport/original-destination.ts";
import type { Transport } from "../transport/transport.ts";
import { LOOPBACK, listenEach } from "./listening.ts";
import { loopError } from "./loop-guard.ts";

/** Connections that wait until it is known whose they are. */
const MAX_HELD = 64;

interface LoopCheckDeps {
  readonly transport: Transport;
  readonly originals: OriginalDestinations;
  readonly log: Log;
}

export interface LoopCheck {
  /** Rejects with INTERCEPTION once a connection of this process has come back to it; else never settles. */
  readonly looped: Promise<never>;
  /** Frees the port. */
  close(): Promise<void>;
}

/**
 * Listens where redirected connections arrive, before the proxy does, and dials `host:port`, which it could not be
 * certified without. With rules that take its connections for the app's this is all that would ever be reached.
 * Connections of the app are held until that is done, and reset. @throws MeshError PORT_IN_USE, INTERCEPTION
 */
export async function startLoopCheck(
  { transport, originals, log }: LoopCheckDeps,
  outboundPort: number,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<LoopCheck> {
  const held = new Map<string, ByteStream>();
  let probing = true;
  let own: string | undefined;
  let found = () => {};
  const judge = () => {
    if (own !== undefined && held.has(own)) found();
    if (probing) return;
    for (const stream of held.values()) stream.destroy(undefined, true);
    held.clear();
  };
  const listener = await listenEach(LOOPBACK, outboundPort, log, (address, onPort) =>
    transport.listenTcp(
      { host: address, port: onPort, maxConnections: MAX_HELD, prepare: (descriptor) => originals.prepare(descriptor) },
      (stream) => {
        held.set(`${plainAddress(stream.remoteAddress)} ${stream.remotePort}`, stream);
        // Not from within: a reset here could be all that the probe sees of its connection.
        setImmediate(judge);
        return stream.user;
      },
    ),
  );
  const looped = new Promise<never>((_, reject) => {
    found = () => reject(loopError({ address: host, port }));
  });
  looped.catch(() => {});
  const probe = connect({ host, port });
  const probed = () => {
    probing = false;
    judge();
  };
  probe.once("connect", () => {
    const { address, port: from } = probe.address() as AddressInfo;
    own = `${plainAddress(address)} ${from}`;
    probed();
  });
  probe.on("error", probed);
  return {
    looped,
    async close() {
      probe.destroy();
      probed();
      await listener.close();
    },
  };
}
