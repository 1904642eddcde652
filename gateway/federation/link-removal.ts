import { aborted } from "../../core/abort.ts";
import { backoffMs, RECONNECT } from "../../core/backoff.ts";
import { type Clock, sleep } from "../../core/clock.ts";
import { LINK_FINALIZER, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { errorText } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import type { KubeClient } from "../../kube/client.ts";
import { SECRETS } from "../../kube/resources.ts";
import { joinSecretName } from "./join-token.ts";
import type { LinkObject } from "./link-object.ts";
import type { JoinedLink } from "./link-record.ts";
import { isOutdated } from "./link-status.ts";
import { noteUnlinked } from "./unlinked-peers.ts";

interface LinkRemovalDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The link as its removal sees it. */
export interface RemovalSubject {
  readonly leading: boolean;
  readonly joined: JoinedLink | undefined;
  /** Tells the peer, where a stream is open. */
  goodbye(): Promise<void>;
  /** Takes all of the peer's state out of the registry. */
  clear(): Promise<void>;
  /** Takes the link's Secret away. */
  removeSecret(): Promise<void>;
  /** Resolves when anything about the link is otherwise. */
  next(): Promise<void>;
}

/** Keeps the finalizer on a Link; once it is to be deleted, undoes the link and lets the Link go. */
export class LinkRemoval {
  readonly #link: LinkObject;
  readonly #deps: LinkRemovalDeps;
  readonly #subject: RemovalSubject;
  #asked = false;

  constructor(link: LinkObject, deps: LinkRemovalDeps, subject: RemovalSubject) {
    this.#link = link;
    this.#deps = deps;
    this.#subject = subject;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    for (let attempt = 0; !signal.aborted; ) {
      const { finalizers } = this.#link;
      if (this.#link.deleting !== finalizers.includes(LINK_FINALIZER) || !this.#subject.leading) {
        attempt = 0;
        await this.#subject.next();
        continue;
      }
      try {
        if (this.#link.deleting) await this.#undo(signal);
        else await this.#link.setFinalizers([...finalizers, LINK_FINALIZER]);
      } catch (error) {
        if (signal.aborted) return;
        if (!isOutdated(error)) log.warn("link not changed", { reason: errorText(error) });
        await sleep(clock, backoffMs(attempt++, RECONNECT, random), signal).catch(() => {});
      }
    }
  }

  /** Deletes the Link for its peer, which has proved that the wish is its own. Retried until it is deleted. */
  async ask(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    this.#asked = true;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await this.#link.delete();
        return;
      } catch (error) {
        if (isOutdated(error)) return;
        log.warn("link not deleted", { reason: errorText(error) });
        await sleep(clock, backoffMs(attempt, RECONNECT, random), signal).catch(() => {});
      }
    }
  }

  async #undo(signal: AbortSignal): Promise<void> {
    const { kube, clock, log } = this.#deps;
    // It may not hear the goodbye; where it was the one to ask for this, it knows.
    const { cluster, trustDomain } = this.#link.spec;
    if (!this.#asked) await noteUnlinked(kube, { cluster, trustDomain, atMs: clock.wallMs() });
    await this.#subject.goodbye();
    await Promise.race([this.#subject.clear(), aborted(signal)]);
    if (signal.aborted) return;
    const { joined } = this.#subject;
    // Its token could bring the link back; the side that made it forgets it with the peer.
    if (joined !== undefined) await kube.delete(SECRETS, joinSecretName(joined.joinedBy), SYSTEM_NAMESPACE);
    await this.#subject.removeSecret();
    await this.#link.setFinalizers(this.#link.finalizers.filter((finalizer) => finalizer !== LINK_FINALIZER));
    log.info("unlinked");
  }
}
