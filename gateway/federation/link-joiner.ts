import { backoffMs, RECONNECT } from "../../core/backoff.ts";
import { type Clock, sleep } from "../../core/clock.ts";
import { asMeshError, errorText, MeshError } from "../../core/errors.ts";
import type { GatewayAddress } from "../../core/link.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import type { Link } from "../../kube/resources.ts";
import { isTerminal, joinPeer } from "./join-client.ts";
import { parseJoinToken } from "./join-token.ts";
import type { JoinedLink } from "./link-record.ts";
import type { PeerNames } from "./wire.ts";

interface LinkJoinerDeps {
  readonly own: PeerNames;
  readonly ownBundle: () => TrustBundle;
  /** Of this cluster, as peers are told. */
  readonly gateways: () => readonly GatewayAddress[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The link as its joiner sees it. */
export interface JoinSubject {
  readonly spec: Link["spec"];
  /** The token that is to be redeemed now; undefined: none, or not by this replica. */
  readonly token: string | undefined;
  /** Of the link as it is; 0 before the first join. */
  readonly epoch: bigint;
  /** Stores what redeeming `token` brought. @throws MeshError KUBE_*, CLUSTER_UNREACHABLE */
  joined(token: string, link: JoinedLink): Promise<void>;
  /** The failure is another one now, or none any more. */
  changed(): void;
  /** Resolves when anything about the link is otherwise. */
  next(): Promise<void>;
}

/** Redeems whatever token its link has, for as long as trying is not pointless. */
export class LinkJoiner {
  readonly #name: string;
  readonly #deps: LinkJoinerDeps;
  readonly #subject: JoinSubject;
  #failure: { token: string; error: MeshError; terminal: boolean } | undefined;

  constructor(name: string, deps: LinkJoinerDeps, subject: JoinSubject) {
    this.#name = name;
    this.#deps = deps;
    this.#subject = subject;
  }

  /** Why the last try failed, and whether the same token is of no use any more. */
  get failure(): { readonly error: MeshError; readonly terminal: boolean } | undefined {
    return this.#failure;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    for (let attempt = 0; !signal.aborted; ) {
      const { token } = this.#subject;
      if (token === undefined) this.#failure = undefined;
      if (token === undefined || (this.#failure?.token === token && this.#failure.terminal)) {
        attempt = 0;
        await this.#subject.next();
        continue;
      }
      try {
        await this.#join(token, signal);
        this.#failure = undefined;
        attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        const known = asMeshError(error, "INTERNAL", `join ${this.#name}`);
        const terminal = isTerminal(known);
        this.#failure = { token, error: known, terminal };
        log.warn("join failed", { code: known.code, reason: errorText(known), terminal });
        this.#subject.changed();
        if (!terminal) await sleep(clock, backoffMs(attempt++, RECONNECT, random), signal).catch(() => {});
      }
    }
  }

  async #join(text: string, signal: AbortSignal): Promise<void> {
    const { clock, own, ownBundle, gateways, log } = this.#deps;
    const token = parseJoinToken(text, clock.wallMs());
    if (token.cluster === own.cluster)
      throw new MeshError("LINK_SELF", `Cannot link ${own.cluster} to itself. Use a token of another cluster.`);
    const { spec, epoch } = this.#subject;
    if (token.cluster !== this.#name || token.trustDomain !== spec.trustDomain) {
      throw new MeshError(
        "TOKEN_INVALID",
        `Cannot join ${this.#name}: the token is of ${token.cluster} (${token.trustDomain}). Use one of ${this.#name}.`,
      );
    }
    const options = {
      cluster: own.cluster,
      bundle: ownBundle(),
      gateways: gateways(),
      wantsImport: spec.import,
      offersExport: spec.export,
      epoch,
    };
    await this.#subject.joined(text, await joinPeer(token, options, clock, signal));
    log.info("link joined");
  }
}
