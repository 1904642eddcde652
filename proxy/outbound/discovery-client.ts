import { backoffMs, RECONNECT } from "../../core/backoff.ts";
import { type Clock, sleep } from "../../core/clock.ts";
import { asMeshError, errorText, type MeshError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import type { GrpcCall } from "../../identity/grpc-call.ts";
import type { GrpcClient } from "../../identity/grpc-client.ts";
import type { Hello } from "../../protos/gen/causeway/discovery/v1/Hello.ts";
import type { InboundState__Output } from "../../protos/gen/causeway/discovery/v1/InboundState.ts";
import type { WatchRequest } from "../../protos/gen/causeway/discovery/v1/WatchRequest.ts";
import type { WatchResponse__Output } from "../../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import { WATCH } from "../../protos/gen/tables/discovery.ts";
import type { LinkTable, ServiceSpec } from "../balance/service.ts";
import { linksFrom, serviceFrom } from "./discovery-state.ts";

/** Who is told what control says. Every state is whole. */
export interface DiscoveryListener {
  onService(authority: string, spec: ServiceSpec): void;
  onLinks(links: LinkTable): void;
  onInbound(state: InboundState__Output): void;
}

export interface DiscoveryClientOptions {
  /** Closed by whoever made it. */
  readonly control: GrpcClient;
  readonly hello: Hello;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

type WatchCall = GrpcCall<WatchRequest, WatchResponse__Output>;

/** The watch at control: kept up for ever; after a loss all that is subscribed to is asked for again. */
export class DiscoveryClient {
  readonly #options: DiscoveryClientOptions;
  readonly #listener: DiscoveryListener;
  readonly #authorities = new Set<string>();
  #call: WatchCall | undefined;
  #connected = false;

  constructor(options: DiscoveryClientOptions, listener: DiscoveryListener) {
    this.#options = options;
    this.#listener = listener;
  }

  /** Control has answered on the present stream. */
  get connected(): boolean {
    return this.#connected;
  }

  subscribe(authority: string): void {
    if (this.#authorities.has(authority)) return;
    this.#authorities.add(authority);
    this.#call?.send({ subscribe: { authorities: [authority] } });
  }

  unsubscribe(authority: string): void {
    if (!this.#authorities.delete(authority)) return;
    this.#call?.send({ unsubscribe: { authorities: [authority] } });
  }

  /** Watches until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#options;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) break;
        const { code, message } = asMeshError(error, "STREAM_CLOSED", "watch control");
        log.warn("discovery.lost", { code, error: message, attempt });
      }
      if (this.#connected) attempt = 0;
      this.#connected = false;
      await sleep(clock, backoffMs(attempt, RECONNECT, random), signal).catch(() => {});
    }
  }

  /** One stream, to its end. @throws MeshError */
  #watch(signal: AbortSignal): Promise<void> {
    const { control, hello } = this.#options;
    return new Promise((resolve, reject) => {
      const onAbort = () => call.cancel();
      const onEnd = (error: MeshError | undefined) => {
        signal.removeEventListener("abort", onAbort);
        this.#call = undefined;
        if (error === undefined) resolve();
        else reject(error);
      };
      const call = control.open(WATCH, "watch control", { onMessage: (message) => this.#heard(message), onEnd });
      this.#call = call;
      call.send({ hello });
      if (this.#authorities.size > 0) call.send({ subscribe: { authorities: [...this.#authorities] } });
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }

  #heard(message: WatchResponse__Output): void {
    if (!this.#connected) this.#options.log.info("discovery.connected", {});
    this.#connected = true;
    try {
      this.#take(message);
    } catch (error) {
      // One state that cannot be used must not end the others.
      this.#options.log.error("discovery.message.failed", { error: errorText(error) });
    }
  }

  #take({ service, links, inbound }: WatchResponse__Output): void {
    if (service && this.#authorities.has(service.authority))
      this.#listener.onService(service.authority, serviceFrom(service));
    if (links) this.#listener.onLinks(linksFrom(links.links));
    if (inbound) this.#listener.onInbound(inbound);
  }
}
