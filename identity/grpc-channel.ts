import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { CallCredentials, ChannelCredentials, type ChannelOptions, type experimental } from "@grpc/grpc-js";
import type { Clock } from "../core/clock.ts";
import { asMeshError, type MeshError } from "../core/errors.ts";
import type { TrustDomain } from "../core/identity.ts";
import { MAX_MESSAGE_BYTES } from "./grpc-frames.ts";
import { mutualDialer, type SpiffeDialer, secureHttp2, serverAuthDialer } from "./spiffe-dialer.ts";
import type { TrustStore } from "./trust-store.ts";
import type { ExpectedPeer, WorkloadTls } from "./workload-tls.ts";

/** For every client of grpc-js: bounded messages, keepalive, quick reconnects, and nothing taken from the environment. */
export const GRPC_CLIENT_OPTIONS: ChannelOptions = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 5_000,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.use_local_subchannel_pool": 1,
};

/** TLS whose server is known by its SPIFFE ID in place of a host name; certificates and bundles are those of the moment. */
export class SpiffeChannelCredentials extends ChannelCredentials {
  readonly #dialer: SpiffeDialer;
  readonly #clock: Clock;
  #lastFailure: MeshError | undefined;

  constructor(dialer: SpiffeDialer, clock: Clock) {
    super();
    this.#dialer = dialer;
    this.#clock = clock;
  }

  /** Why the latest connection did not come about; undefined once one did. */
  get lastFailure(): MeshError | undefined {
    return this.#lastFailure;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    _target: unknown,
    _options: ChannelOptions,
    callCredentials?: CallCredentials,
  ): experimental.SecureConnector {
    const credentials = callCredentials ?? CallCredentials.createEmpty();
    return {
      connect: async (socket) => ({ socket: await this.#secure(socket), secure: true }),
      waitForReady: async () => {},
      getCallCredentials: () => credentials,
      destroy() {},
    };
  }

  async #secure(socket: Socket): Promise<TLSSocket> {
    try {
      const secured = await secureHttp2(socket, this.#dialer, this.#clock);
      this.#lastFailure = undefined;
      return secured;
    } catch (error) {
      this.#lastFailure = asMeshError(error, "TLS_HANDSHAKE", "connect");
      throw this.#lastFailure;
    }
  }
}

/** Mutual TLS to a peer of `trustDomain` that is as `expected`. */
export function grpcChannelCredentials(deps: {
  readonly tls: WorkloadTls;
  readonly trustDomain: TrustDomain;
  readonly expected: ExpectedPeer;
  readonly clock: Clock;
}): SpiffeChannelCredentials {
  return new SpiffeChannelCredentials(mutualDialer(deps), deps.clock);
}

/** TLS without a certificate of one's own, for Join. */
export function serverAuthChannelCredentials(deps: {
  readonly trust: TrustStore;
  readonly trustDomain: TrustDomain;
  readonly expected: ExpectedPeer;
  readonly clock: Clock;
}): SpiffeChannelCredentials {
  return new SpiffeChannelCredentials(serverAuthDialer(deps), deps.clock);
}
