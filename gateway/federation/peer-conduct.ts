import type { Clock } from "../../core/clock.ts";
import { MeshError } from "../../core/errors.ts";
import { TokenBucket } from "../../core/token-bucket.ts";
import { LIMITS } from "./limits.ts";
import type { SyncKind } from "./wire.ts";

/** What the peer of one stream has done to be counted. Each method throws where it has gone too far. */
export class PeerConduct {
  readonly #cluster: string;
  readonly #messages: TokenBucket;
  readonly #bytes: TokenBucket;
  readonly #updates: TokenBucket;
  readonly #updateBytes: TokenBucket;
  /** Bundles and gateways end in a Secret: each change is a write to the API server. */
  readonly #stored: TokenBucket;
  readonly #digests: TokenBucket;
  readonly #strayAnswers: TokenBucket;
  #nacksInRow = 0;

  constructor(cluster: string, clock: Clock) {
    this.#cluster = cluster;
    const bucket = (perSecond: number, burst: number) => new TokenBucket(clock, perSecond, burst);
    this.#messages = bucket(LIMITS.messagesPerSecond, LIMITS.messagesPerSecond);
    this.#bytes = bucket(LIMITS.otherBytesPerSecond, LIMITS.otherBytesBurst);
    this.#updates = bucket(LIMITS.updatesPerSecond, LIMITS.updatesPerSecond);
    this.#updateBytes = bucket(LIMITS.updateBytesPerSecond, LIMITS.updateBytesBurst);
    this.#stored = bucket(LIMITS.storedUpdatesPerSecond, 20);
    this.#digests = bucket(1, 10);
    this.#strayAnswers = bucket(0.1, LIMITS.strayAnswers);
  }

  /** A message came. @throws MeshError LIMIT_EXCEEDED */
  message(bytes: number, isUpdate: boolean): void {
    if (!this.#messages.take()) throw this.#tooMuch("it sends too many messages");
    // Updates are slowed by their answers in place of that.
    if (!isUpdate && !this.#bytes.take(bytes)) throw this.#tooMuch("it sends too many bytes");
  }

  /** How long, in ms, the next update has to wait so that it does not cost the others their share. */
  updateWaitMs(kind: SyncKind, bytes: number): number {
    const stored = kind === "KIND_BUNDLES" || kind === "KIND_GATEWAYS" ? this.#stored.spend(1) : 0;
    return Math.max(this.#updates.spend(1), this.#updateBytes.spend(bytes), stored);
  }

  /** An update was answered, with a NACK or not. @throws MeshError PROTOCOL_VIOLATION after too many NACKs in a row */
  answered(nack: boolean): void {
    this.#nacksInRow = nack ? this.#nacksInRow + 1 : 0;
    if (this.#nacksInRow > LIMITS.nacksInRow) throw this.#violation("none of its latest updates could be applied");
  }

  /** Whether a digest is worth comparing: each is a look at all that is held. */
  digestDue(): boolean {
    return this.#digests.take();
  }

  /** It answered what was not sent, or no more. @throws MeshError PROTOCOL_VIOLATION */
  strayAnswer(): void {
    if (!this.#strayAnswers.take()) throw this.#violation("it answers what was never sent");
  }

  #tooMuch(what: string): MeshError {
    return new MeshError("LIMIT_EXCEEDED", `Cannot sync with ${this.#cluster}: ${what}.`);
  }

  #violation(what: string): MeshError {
    return new MeshError("PROTOCOL_VIOLATION", `Cannot sync with ${this.#cluster}: ${what}.`);
  }
}
