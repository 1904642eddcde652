import type { ChannelCredentials, ClientDuplexStream } from "@grpc/grpc-js";
import { backoffMs, RECONNECT } from "../../core/backoff.ts";
import { type Clock, sleep } from "../../core/clock.ts";
import { asMeshError, errorText } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import { GRPC_CLIENT_OPTIONS } from "../../identity/grpc-channel.ts";
import type { Hello } from "../../protos/gen/causeway/discovery/v1/Hello.ts";
import type { InboundState__Output } from "../../protos/gen/causeway/discovery/v1/InboundState.ts";
import type { WatchRequest } from "../../protos/gen/causeway/discovery/v1/WatchRequest.ts";
import type { WatchResponse__Output } from "../../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import { loadDiscovery } from "../../protos/load.ts";
import type { LinkTable, ServiceSpec } from "../balance/service.ts";
import { linksFrom, serviceFrom } from "./discovery-state.ts";

/** Who is told what control says. Every state is whole. */
export interface DiscoveryListener {
  onService(authority: string, spec: ServiceSpec): void;
  onLinks(links: LinkTable): void;
  onInbound(state: InboundState__Output): void;
}

export interface DiscoveryClientOptions {
  /** "host:port" */
  readonly controlAddress: string;
  readonly credentials: ChannelCredentials;
  readonly hello: Hello;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

type WatchStream = ClientDuplexStream<WatchRequest, WatchResponse__Output>;

/** The watch at control: kept up for ever; after a loss all that is subscribed to is asked for again. */
export class DiscoveryClient {
  readonly #options: DiscoveryClientOptions;
  readonly #listener: DiscoveryListener;
  readonly #authorities = new Set<string>();
  #stream: WatchStream | undefined;
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
    this.#stream?.write({ subscribe: { authorities: [authority] } });
  }

  unsubscribe(authority: string): void {
    if (!this.#authorities.delete(authority)) return;
    this.#stream?.write({ unsubscribe: { authorities: [authority] } });
  }

  /** Watches until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { controlAddress, credentials, clock, random, log } = this.#options;
    const client = new (loadDiscovery().Discovery)(`dns:${controlAddress}`, credentials, GRPC_CLIENT_OPTIONS);
    try {
      for (let attempt = 0; !signal.aborted; attempt++) {
        try {
          await this.#watch(client.Watch(), signal);
        } catch (error) {
          if (signal.aborted) break;
          const { code, message } = asMeshError(error, "STREAM_CLOSED", "watch control");
          log.warn("discovery.lost", { code, error: message, attempt });
        }
        if (this.#connected) attempt = 0;
        this.#connected = false;
        await sleep(clock, backoffMs(attempt, RECONNECT, random), signal).catch(() => {});
      }
    } finally {
      client.close();
    }
  }

  #watch(stream: WatchStream, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => stream.cancel();
      const finish = (settle: () => void) => {
        signal.removeEventListener("abort", onAbort);
        this.#stream = undefined;
        settle();
      };
      stream.on("data", (message: WatchResponse__Output) => {
        if (!this.#connected) this.#options.log.info("discovery.connected", {});
        this.#connected = true;
        try {
          this.#take(message);
        } catch (error) {
          // One state that cannot be used must not end the others.
          this.#options.log.error("discovery.message.failed", { error: errorText(error) });
        }
      });
      stream.on("error", (error) => finish(() => reject(error)));
      stream.on("end", () => {
        stream.cancel();
        finish(resolve);
      });
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) return onAbort();
      this.#stream = stream;
      stream.write({ hello: this.#options.hello });
      if (this.#authorities.size > 0) stream.write({ subscribe: { authorities: [...this.#authorities] } });
    });
  }

  #take({ service, links, inbound }: WatchResponse__Output): void {
    if (service && this.#authorities.has(service.authority))
      this.#listener.onService(service.authority, serviceFrom(service));
    if (links) this.#listener.onLinks(linksFrom(links.links));
    if (inbound) this.#listener.onInbound(inbound);
  }
}
