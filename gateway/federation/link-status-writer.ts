import { type Clock, sleep } from "../../core/clock.ts";
import { errorText } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { LinkObject } from "./link-object.ts";
import { isOutdated, type LinkSituation } from "./link-status.ts";

const EVERY_MS = 200;

/** Keeps a Link's status as the link is, written a few times a second at most. */
export class LinkStatusWriter {
  readonly #link: LinkObject;
  readonly #clock: Clock;
  readonly #log: Log;
  #due = true;

  constructor(link: LinkObject, clock: Clock, log: Log) {
    this.#link = link;
    this.#clock = clock;
    this.#log = log;
  }

  /** The status may be otherwise. */
  touch(): void {
    this.#due = true;
  }

  /** `situation` is asked when there is something to write; undefined: not by this replica. */
  async run(situation: () => LinkSituation | undefined, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const now = this.#due && !this.#link.deleting ? situation() : undefined;
      if (now !== undefined) {
        this.#due = false;
        try {
          await this.#link.writeStatus(now, this.#clock.wallMs());
        } catch (error) {
          this.#due = true;
          if (!isOutdated(error)) this.#log.warn("status not written", { reason: errorText(error) });
        }
      }
      await sleep(this.#clock, EVERY_MS, signal).catch(() => {});
    }
  }
}
