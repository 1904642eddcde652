import { networkInterfaces } from "node:os";
import type { AcceptedSocket, Destination, OriginalDestinations } from "../transport/original-destination.ts";
import { plainAddress } from "../transport/original-destination.ts";

/** Tells redirected connections of one workload from others. */
export class Interception {
  readonly originals: OriginalDestinations;
  readonly #ownPorts = new Set<number>();

  /** `ownPorts`: of this proxy; nobody is passed on to them. */
  constructor(originals: OriginalDestinations, ownPorts: Iterable<number>) {
    this.originals = originals;
    this.reserve(...ownPorts);
  }

  reserve(...ports: readonly number[]): void {
    for (const port of ports) if (port !== 0) this.#ownPorts.add(port);
  }

  /** Where a redirected connection was to go; undefined where it was meant for the listener that accepted it. */
  destinationOf(socket: AcceptedSocket): Destination | undefined {
    const destination = this.originals.of(socket);
    if (destination === undefined) return undefined;
    // Under TPROXY a socket's own port is the destination's.
    const { mode } = this.originals;
    const here = mode === "tproxy" ? this.#ownPorts.has(destination.port) : destination.port === socket.localPort;
    return here && isOwnAddress(destination.address) ? undefined : destination;
  }

  /** Whether a destination is this proxy itself: passed on, such a connection would come back for ever. */
  isSelf({ address, port }: Destination): boolean {
    return this.#ownPorts.has(port) && isOwnAddress(address);
  }
}

/** Of this network namespace. Asked for seldom, and addresses change: it is not remembered. */
function isOwnAddress(address: string): boolean {
  const plain = plainAddress(address);
  if (plain.startsWith("127.") || plain === "::1") return true;
  return Object.values(networkInterfaces()).some((all) => all?.some((own) => own.address === plain) ?? false);
}
