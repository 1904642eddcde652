import { childAbort } from "../../core/abort.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import type { LinkState } from "../../core/link.ts";
import type { Log } from "../../core/log.ts";
import type { Link } from "../../kube/resources.ts";
import { RegistryWriter } from "../../registry/registry-writer.ts";
import { PEER_LINKS } from "../../registry/state.ts";
import { ANYBODY } from "../../registry/store.ts";
import type { LinkRecord } from "./link-record.ts";
import { LinkRunner, type LinkRunnerDeps } from "./link-runner.ts";
import type { SyncPipe } from "./sync-pipe.ts";

export interface LinkSeatDeps extends Omit<LinkRunnerDeps, "writer" | "onReplaced" | "onStreamEnd"> {
  /** This replica. */
  readonly holder: string;
  /** What the registry says of a link. */
  readonly linkState: (name: string) => LinkState | undefined;
}

/** Part in one election for the link, and what is done by it. What its writer was told and did not write ends with it. */
interface Term {
  readonly abort: ReturnType<typeof childAbort>;
  readonly writer: RegistryWriter;
  runner: LinkRunner | undefined;
  /** This replica runs the link, by the lease. */
  tenure: boolean;
}

/**
 * One link on one replica of the gateway. Each link has a lease of its own: who holds it joins, dials, keeps the stream
 * and writes what comes of it. A stream that the peer opens comes before the lease: whichever replica it reaches serves
 * it at once and takes the lease away from whoever has it, as the peer is not there any more.
 */
export class LinkSeat {
  readonly uid: string | undefined;
  readonly #deps: LinkSeatDeps;
  readonly #signal: AbortSignal;
  readonly #log: Log;
  readonly #ending = new Set<Promise<void>>();
  #link: Link;
  #record: LinkRecord;
  #term: Term;
  #closed = false;

  constructor(link: Link, record: LinkRecord, deps: LinkSeatDeps, signal: AbortSignal) {
    this.uid = link.metadata.uid;
    this.#link = link;
    this.#record = record;
    this.#deps = deps;
    this.#signal = signal;
    this.#log = deps.log.child({ link: link.metadata.name });
    this.#term = this.#begin();
  }

  /** How the Link and its Secret are now. */
  update(link: Link, record: LinkRecord): void {
    // With hundreds of links most are as they were at each change of one, and a runner that is woken looks at its status.
    if (link === this.#link && record === this.#record) return;
    this.#link = link;
    this.#record = record;
    this.#term.runner?.update(link, record);
  }

  /** Serves a stream that the peer opened. @throws MeshError LINK_UNKNOWN, LINK_EXISTS, ABORTED */
  async accept(pipe: () => SyncPipe): Promise<void> {
    if (this.#closed) throw new MeshError("ABORTED", "Cannot sync: this gateway ends. Try another.");
    const term = this.#term;
    const runner = this.#runner(term, false);
    try {
      await runner.accept(pipe);
    } catch (error) {
      if (!term.tenure && !runner.streaming) this.#end(term, "draining");
      throw error;
    }
    if (!term.tenure) this.#log.info("stream taken", { holder: this.#deps.holder });
    term.writer.seize(ANYBODY);
  }

  /** The replica `holder` is gone: what it held of this link is to be had. */
  succeed(holder: string): void {
    this.#term.writer.seize(holder);
  }

  /** Ends, telling the peer `reason`, and gives the lease up. */
  async close(reason: string): Promise<void> {
    this.#closed = true;
    this.#end(this.#term, reason);
    await Promise.all(this.#ending);
  }

  #begin(): Term {
    const { store, holder, clock, random, log } = this.#deps;
    const lease = `link/${this.#link.metadata.name}`;
    const observed = PEER_LINKS.prefix;
    const writer = new RegistryWriter({ store, lease, holder, clock, random, log, observed });
    const term: Term = { abort: childAbort(this.#signal), writer, runner: undefined, tenure: false };
    writer.onTenure((tenure) => this.#onTenure(term, tenure));
    writer.start(term.abort.signal);
    return term;
  }

  #onTenure(term: Term, tenure: boolean): void {
    if (term !== this.#term || this.#closed) return;
    term.tenure = tenure;
    if (tenure) this.#runner(term, true).lead();
    else this.#end(term, "draining");
  }

  #runner(term: Term, leading: boolean): LinkRunner {
    if (term.runner !== undefined) return term.runner;
    const deps = {
      ...this.#deps,
      writer: term.writer,
      onReplaced: () => term.writer.yieldTenure(),
      // Without the lease there is nothing else to do for it here.
      onStreamEnd: () => {
        if (!term.tenure) this.#end(term, "draining");
      },
    };
    const before = this.#deps.linkState(this.#link.metadata.name);
    term.runner = new LinkRunner(this.#link, this.#record, before, deps, this.#signal, leading);
    return term.runner;
  }

  /** Ends `term`, once, and begins the next one. */
  #end(term: Term, reason: string): void {
    if (term !== this.#term) return;
    const ended = this.#finish(term, reason)
      .catch((error: unknown) => this.#log.error("link not ended", { reason: errorText(error) }))
      .finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
    if (!this.#closed) this.#term = this.#begin();
  }

  async #finish({ abort, writer, runner }: Term, reason: string): Promise<void> {
    await runner?.close(reason);
    abort.abort();
    await writer.ended;
    abort[Symbol.dispose]();
  }
}
