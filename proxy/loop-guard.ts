// Rules that take the proxy's own connections for the app's bring them back to it, which dials again, for ever.
import type { Clock } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { ByteStream } from "../transport/byte-stream.ts";
import { type Destination, plainAddress } from "../transport/original-destination.ts";
import type { Metrics } from "./observe/metrics.ts";

/** A connection that comes back does so while it is made; what is older belongs to somebody else by now. */
const KEPT_MS = 1_000;
const MAX_KEPT = 4_096;
const LOG_EVERY_MS = 10_000;

/** What is wrong where the proxy's own connections come back to it. */
export function loopError({ address, port }: Destination): MeshError {
  const uid = process.getuid?.() ?? "?";
  return new MeshError(
    "INTERCEPTION",
    `Cannot intercept connections: the proxy's own connection to ${address} port ${port} was redirected back to it. ` +
      `The proxy runs as uid ${uid}: run mesh proxy-init with --proxy-uid ${uid}, or the proxy as the user named there.`,
  );
}

/**
 * Tells connections of this proxy from those of the app by their addresses: what is accepted from the very address
 * and port from which the proxy has dialled the same destination is its own.
 */
export class LoopGuard {
  readonly #deps: LoopGuardDeps;
  /** When each was dialled, oldest first. */
  readonly #dialled = new Map<string, number>();
  #loggedMs = Number.NEGATIVE_INFINITY;

  constructor(deps: LoopGuardDeps) {
    this.#deps = deps;
  }

  /** A connection was made, without TLS, to an address that may be redirected. */
  dialled({ localAddress, localPort, remoteAddress, remotePort }: ByteStream): void {
    const nowMs = this.#deps.clock.nowMs();
    for (const [old, atMs] of this.#dialled) {
      if (nowMs - atMs < KEPT_MS && this.#dialled.size < MAX_KEPT) break;
      this.#dialled.delete(old);
    }
    const key = keyOf(localAddress, localPort, { address: plainAddress(remoteAddress), port: remotePort });
    this.#dialled.delete(key);
    this.#dialled.set(key, nowMs);
  }

  /**
   * Whether a redirected connection is this proxy's own, which is counted and logged. To be asked once the turn of the
   * event loop in which it was accepted is over: which of its two ends is shown first is left to chance.
   */
  isOwn({ remoteAddress, remotePort }: ByteStream, destination: Destination): boolean {
    const atMs = this.#dialled.get(keyOf(remoteAddress, remotePort, destination));
    const nowMs = this.#deps.clock.nowMs();
    if (atMs === undefined || nowMs - atMs >= KEPT_MS) return false;
    const { log, metrics } = this.#deps;
    const { code, message } = loopError(destination);
    metrics.counter("outbound_transparent_refused_total", `code="${code}"`).value++;
    if (nowMs - this.#loggedMs >= LOG_EVERY_MS) {
      this.#loggedMs = nowMs;
      log.error("outbound.loop.refused", { code, error: message });
    }
    return true;
  }
}

interface LoopGuardDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

function keyOf(address: string, port: number, to: Destination): string {
  return `${plainAddress(address)} ${port} ${to.address} ${to.port}`;
}
