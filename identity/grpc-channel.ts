import type { Socket } from "node:net";
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from "node:tls";
import { CallCredentials, ChannelCredentials, type ChannelOptions, type experimental } from "@grpc/grpc-js";
import type { Clock } from "../core/clock.ts";
import { asMeshError, MeshError } from "../core/errors.ts";
import type { TrustDomain } from "../core/identity.ts";
import type { TrustStore } from "./trust-store.ts";
import { clientContextOptions, type ExpectedPeer, PeerVerifier, type WorkloadTls, within } from "./workload-tls.ts";

export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const HANDSHAKE_MS = 5_000;

/** For every client of ours: bounded messages, keepalive, quick reconnects, and nothing taken from the environment. */
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

interface Dialer {
  /** Asked for each connection. @throws MeshError */
  options(): ConnectionOptions;
  /** After each handshake. @throws MeshError */
  verify(socket: TLSSocket): void;
}

/** TLS whose server is known by its SPIFFE ID in place of a host name; certificates and bundles are those of the moment. */
export class SpiffeChannelCredentials extends ChannelCredentials {
  readonly #dialer: Dialer;
  readonly #clock: Clock;
  #lastFailure: MeshError | undefined;

  constructor(dialer: Dialer, clock: Clock) {
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
      const secured = await handshake(socket, this.#dialer, this.#clock);
      this.#lastFailure = undefined;
      return secured;
    } catch (error) {
      this.#lastFailure = asMeshError(error, "TLS_HANDSHAKE", "connect");
      throw this.#lastFailure;
    }
  }
}

function handshake(socket: Socket, dialer: Dialer, clock: Clock): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secured = connect({ ...dialer.options(), socket, ALPNProtocols: ["h2"] });
    const fail = (error: unknown) => {
      cancel();
      secured.destroy();
      reject(asMeshError(error, "TLS_HANDSHAKE", "finish the TLS handshake"));
    };
    const onClose = () =>
      fail(new MeshError("TLS_HANDSHAKE", "Cannot finish the TLS handshake: the peer closed the connection."));
    const cancel = clock.after(HANDSHAKE_MS, () =>
      fail(new MeshError("TLS_HANDSHAKE", "Cannot finish the TLS handshake: it took too long.")),
    );
    secured.once("error", fail);
    secured.once("close", onClose);
    secured.once("secureConnect", () => {
      try {
        if (secured.alpnProtocol !== "h2")
          throw new MeshError("TLS_HANDSHAKE", "Cannot speak gRPC: the peer does not offer HTTP/2.");
        dialer.verify(secured);
      } catch (error) {
        fail(error);
        return;
      }
      cancel();
      secured.removeListener("close", onClose);
      resolve(secured);
    });
  });
}

/** Mutual TLS to a peer of `trustDomain` that is as `expected`. */
export function grpcChannelCredentials(deps: {
  readonly tls: WorkloadTls;
  readonly trustDomain: TrustDomain;
  readonly expected: ExpectedPeer;
  readonly clock: Clock;
}): SpiffeChannelCredentials {
  const { tls, trustDomain, clock } = deps;
  const expected = within(trustDomain, deps.expected);
  return new SpiffeChannelCredentials(
    {
      options: () => ({
        secureContext: createSecureContext(tls.clientTlsOptions(trustDomain)),
        rejectUnauthorized: true,
        checkServerIdentity: tls.serverCheck(expected),
      }),
      verify: (socket) => void tls.verifyTlsPeer(socket, expected),
    },
    clock,
  );
}

/** TLS without a certificate of one's own: for what a workload asks before it has one (Certify, Join). */
export function serverAuthChannelCredentials(deps: {
  readonly trust: TrustStore;
  readonly trustDomain: TrustDomain;
  readonly expected: ExpectedPeer;
  readonly clock: Clock;
}): SpiffeChannelCredentials {
  const { trust, trustDomain, clock } = deps;
  const verifier = new PeerVerifier(clock);
  const expected = within(trustDomain, deps.expected);
  return new SpiffeChannelCredentials(
    {
      options() {
        const bundle = trust.bundles.get(trustDomain);
        if (bundle === undefined) {
          throw new MeshError(
            "TRUST_DOMAIN_UNKNOWN",
            `Cannot connect to ${trustDomain}: no bundle is known for it. Link its cluster.`,
          );
        }
        return {
          secureContext: createSecureContext(clientContextOptions(bundle)),
          rejectUnauthorized: true,
          checkServerIdentity: verifier.serverCheck(() => trust.bundles, expected),
        };
      },
      verify: (socket) => void verifier.verify(socket, trust.bundles, expected),
    },
    clock,
  );
}
