import type { Socket } from "node:net";
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from "node:tls";
import type { Clock } from "../core/clock.ts";
import { asMeshError, MeshError } from "../core/errors.ts";
import type { TrustDomain } from "../core/identity.ts";
import type { TrustStore } from "./trust-store.ts";
import { clientContextOptions, type ExpectedPeer, PeerVerifier, type WorkloadTls, within } from "./workload-tls.ts";

const HANDSHAKE_MS = 5_000;

/** How the server at the other end of a connection is known: by its SPIFFE ID in place of a host name. */
export interface SpiffeDialer {
  /** Asked for each connection: certificates and bundles are those of the moment. @throws MeshError */
  options(): ConnectionOptions;
  /** After each handshake. @throws MeshError */
  verify(socket: TLSSocket): void;
}

/** Mutual TLS to a peer of `trustDomain` that is as `expected`. */
export function mutualDialer(deps: {
  readonly tls: WorkloadTls;
  readonly trustDomain: TrustDomain;
  readonly expected: ExpectedPeer;
}): SpiffeDialer {
  const { tls, trustDomain } = deps;
  const expected = within(trustDomain, deps.expected);
  return {
    options: () => ({
      secureContext: createSecureContext(tls.clientTlsOptions(trustDomain)),
      rejectUnauthorized: true,
      checkServerIdentity: tls.serverCheck(expected),
    }),
    verify: (socket) => void tls.verifyTlsPeer(socket, expected),
  };
}

/** TLS without a certificate of one's own: for what a workload asks before it has one (Certify, Join). */
export function serverAuthDialer(deps: {
  readonly trust: TrustStore;
  readonly trustDomain: TrustDomain;
  readonly expected: ExpectedPeer;
  readonly clock: Clock;
}): SpiffeDialer {
  const { trust, trustDomain, clock } = deps;
  const verifier = new PeerVerifier(clock);
  const expected = within(trustDomain, deps.expected);
  return {
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
  };
}

/**
 * HTTP/2 over TLS on `socket`, to the server that `dialer` wants.
 * @throws MeshError as the dialer; TLS_HANDSHAKE for a handshake that fails, or is not done after 5 s
 */
export function secureHttp2(socket: Socket, dialer: SpiffeDialer, clock: Clock): Promise<TLSSocket> {
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
