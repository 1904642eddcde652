import { type ChannelOptions, Metadata } from "@grpc/grpc-js";
import type { Clock } from "../../core/clock.ts";
import { PROTOCOL, SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { asMeshError, hasCode, MeshError } from "../../core/errors.ts";
import { identityOf, parseTrustDomain } from "../../core/identity.ts";
import type { GatewayAddress } from "../../core/link.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import { rootFingerprint } from "../../identity/certificate.ts";
import { GRPC_CLIENT_OPTIONS, serverAuthChannelCredentials } from "../../identity/grpc-channel.ts";
import { meshErrorOf } from "../../identity/grpc-status.ts";
import { pinnedRoot } from "../../identity/pinned-root.ts";
import { encodeBundle } from "../../identity/trust-state.ts";
import { TrustStore } from "../../identity/trust-store.ts";
import type { JoinRequest } from "../../protos/gen/causeway/federation/v1/JoinRequest.ts";
import type { JoinResponse__Output } from "../../protos/gen/causeway/federation/v1/JoinResponse.ts";
import { loadFederation } from "../../protos/load.ts";
import { federationAuthority, parseGatewayAddress } from "./gateway-address.ts";
import type { JoinToken } from "./join-token.ts";
import { LIMITS } from "./limits.ts";
import type { JoinedLink } from "./link-record.ts";
import { readBundleMessage } from "./wire.ts";

const DEADLINE_MS = 10_000;

/** For federation's clients: what a peer may send at once is less than what is ours may. */
export const FEDERATION_CLIENT_OPTIONS: ChannelOptions = {
  ...GRPC_CLIENT_OPTIONS,
  // A message that is a little too large is answered with why.
  "grpc.max_receive_message_length": LIMITS.messageBytes + 65_536,
};

/** Codes after which the same token will not do, however often it is tried. */
const TERMINAL = [
  "TOKEN_INVALID",
  "TOKEN_EXPIRED",
  "TOKEN_USED",
  "PIN_MISMATCH",
  "LINK_SELF",
  "LINK_REFUSED",
  "PROTOCOL_VERSION",
  "NAME_INVALID",
  "IDENTITY_INVALID",
  "IDENTITY_UNEXPECTED",
] as const;

/** Whether trying again with the same token is pointless. */
export function isTerminal(error: unknown): boolean {
  return hasCode(error, ...TERMINAL);
}

export interface JoinOptions {
  readonly cluster: string;
  readonly bundle: TrustBundle;
  readonly gateways: readonly GatewayAddress[];
  readonly wantsImport: boolean;
  readonly offersExport: boolean;
  /** Of the link as it is; the new one's is above. */
  readonly epoch: bigint;
}

/**
 * Redeems `token` at the first of its gateways that answers, over TLS pinned to its root.
 * @throws MeshError the peer's own codes; PIN_MISMATCH, TLS_HANDSHAKE, STREAM_CLOSED, ABORTED
 */
export async function joinPeer(
  token: JoinToken,
  options: JoinOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<JoinedLink> {
  let last = new MeshError("TOKEN_INVALID", "Cannot join: the token names no gateway.");
  for (const gateway of token.gateways) {
    try {
      const response = await askOne(token, gateway, options, clock, signal);
      return readResponse(token, response, options.epoch + 1n);
    } catch (error) {
      last = asMeshError(error, "STREAM_CLOSED", `join ${token.cluster} at ${federationAuthority(gateway)}`);
      if (isTerminal(last) || signal.aborted) throw last;
    }
  }
  throw last;
}

async function askOne(
  token: JoinToken,
  gateway: GatewayAddress,
  options: JoinOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<JoinResponse__Output> {
  const { bundle } = await pinnedRoot(gateway.host, gateway.federationPort, token.rootFingerprint, clock, signal);
  const trustDomain = parseTrustDomain(token.trustDomain);
  if (bundle.trustDomain !== trustDomain) {
    throw new MeshError(
      "PIN_MISMATCH",
      `Cannot join ${token.cluster}: its root is for ${bundle.trustDomain}, not ${trustDomain}.`,
    );
  }
  const expected = identityOf(trustDomain, SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.gateway);
  const credentials = serverAuthChannelCredentials({ trust: new TrustStore([bundle]), trustDomain, expected, clock });
  const { Federation } = loadFederation();
  const client = new Federation(federationAuthority(gateway), credentials, FEDERATION_CLIENT_OPTIONS);
  const { cluster, gateways, wantsImport, offersExport } = options;
  const request: JoinRequest = {
    tokenId: token.id,
    tokenSecret: token.secret,
    cluster,
    bundle: encodeBundle(options.bundle),
    gateways: [...gateways],
    wantsImport,
    offersExport,
    protocol: PROTOCOL.federation,
  };
  try {
    return await new Promise<JoinResponse__Output>((resolve, reject) => {
      const deadline = new Date(Date.now() + DEADLINE_MS);
      const call = client.Join(request, new Metadata(), { deadline }, (error, response) => {
        signal.removeEventListener("abort", cancel);
        if (error) reject(meshErrorOf(error, `join ${token.cluster}`, credentials.lastFailure));
        else if (response === undefined)
          reject(new MeshError("PROTOCOL_VIOLATION", `Cannot join ${token.cluster}: no answer.`));
        else resolve(response);
      });
      const cancel = () => call.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
    });
  } finally {
    client.close();
  }
}

function readResponse(token: JoinToken, response: JoinResponse__Output, epoch: bigint): JoinedLink {
  if (response.protocol !== PROTOCOL.federation) {
    throw new MeshError(
      "PROTOCOL_VERSION",
      `Cannot join ${token.cluster}: it speaks protocol ${response.protocol}, we ${PROTOCOL.federation}.`,
    );
  }
  if (response.cluster !== token.cluster) {
    throw new MeshError(
      "IDENTITY_UNEXPECTED",
      `Cannot join ${token.cluster}: it calls itself "${response.cluster.slice(0, 63)}".`,
    );
  }
  const bundle = readBundleMessage(response.bundle, {
    cluster: token.cluster,
    trustDomain: parseTrustDomain(token.trustDomain),
  });
  if (!bundle.x509Authorities.some((der) => rootFingerprint(der) === token.rootFingerprint)) {
    throw new MeshError(
      "PIN_MISMATCH",
      `Cannot join ${token.cluster}: its bundle lacks the root that the token names.`,
    );
  }
  if (response.linkSecret.length !== 32 || response.gateways.length > LIMITS.gateways) {
    throw new MeshError("PROTOCOL_VIOLATION", `Cannot join ${token.cluster}: its answer is malformed.`);
  }
  const gateways = response.gateways.map(parseGatewayAddress);
  return { linkSecret: new Uint8Array(response.linkSecret), bundle, gateways, epoch, joinedBy: token.id };
}
