import type { X509Certificate } from "node:crypto";
import { connect, type TLSSocket } from "node:tls";
import { childAbort } from "../core/abort.ts";
import type { Clock } from "../core/clock.ts";
import { asMeshError, MeshError } from "../core/errors.ts";
import type { Identity } from "../core/identity.ts";
import type { TrustBundle } from "../core/trust-bundle.ts";
import { rootFingerprint } from "./certificate.ts";
import { peerChain } from "./peer-chain.ts";
import { verifyPeer } from "./peer-verification.ts";
import { rootTrustDomain } from "./svid-rules.ts";

const TIMEOUT_MS = 10_000;

export interface PinnedRoot {
  readonly rootDer: Uint8Array;
  /** Who answered; its chain ends in the root. */
  readonly identity: Identity;
  /** The root as the bundle of the trust domain that it names; sequence 0, so that any real one replaces it. */
  readonly bundle: TrustBundle;
}

/**
 * The root that the server at `host:port` shows behind its chain, if its fingerprint is `fingerprint`
 * (`sha256:<64 hex>`) and the chain ends in it.
 * @throws MeshError PIN_MISMATCH, CERTIFICATE_*, TLS_HANDSHAKE where nobody answers, ABORTED
 */
export async function pinnedRoot(
  host: string,
  port: number,
  fingerprint: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<PinnedRoot> {
  const chain = await shownChain(host, port, clock, signal);
  const root = chain.find((certificate) => rootFingerprint(certificate.raw) === fingerprint);
  if (root === undefined) {
    throw new MeshError(
      "PIN_MISMATCH",
      `Cannot trust ${host}:${port}: its root is not ${fingerprint}. Take a new token from the cluster you mean.`,
    );
  }
  const trustDomain = rootTrustDomain(root);
  const bundle = { trustDomain, cluster: "", sequence: 0n, x509Authorities: [new Uint8Array(root.raw)] };
  return {
    rootDer: new Uint8Array(root.raw),
    identity: verifyPeer(chain, new Map([[trustDomain, bundle]]), clock.wallMs()),
    bundle,
  };
}

async function shownChain(host: string, port: number, clock: Clock, signal: AbortSignal): Promise<X509Certificate[]> {
  using attempt = childAbort(signal);
  return await new Promise((resolve, reject) => {
    // No root is known yet, so OpenSSL cannot judge; the caller does, by the pin, before anything is sent.
    const options = { host, port, rejectUnauthorized: false, minVersion: "TLSv1.3", ALPNProtocols: ["h2"] } as const;
    const socket: TLSSocket = connect(options);
    const finish = (run: () => void) => {
      cancel();
      attempt.signal.removeEventListener("abort", onAbort);
      socket.destroy();
      run();
    };
    const fail = (error: unknown) =>
      finish(() => reject(asMeshError(error, "TLS_HANDSHAKE", `connect to ${host}:${port}`)));
    const onAbort = () => fail(new MeshError("ABORTED", `Cannot connect to ${host}:${port}: cancelled.`));
    const cancel = clock.after(TIMEOUT_MS, () =>
      fail(new MeshError("TLS_HANDSHAKE", `Cannot connect to ${host}:${port}: it took too long.`)),
    );
    attempt.signal.addEventListener("abort", onAbort, { once: true });
    socket.on("error", fail);
    socket.once("close", () =>
      fail(new MeshError("TLS_HANDSHAKE", `Cannot connect to ${host}:${port}: the peer closed the connection.`)),
    );
    socket.once("secureConnect", () => {
      let chain: X509Certificate[] = [];
      try {
        chain = peerChain(socket);
      } catch (error) {
        fail(error);
        return;
      }
      finish(() => resolve(chain));
    });
    if (signal.aborted) onAbort();
  });
}
