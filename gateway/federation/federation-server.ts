import type { handleBidiStreamingCall, handleUnaryCall, Server } from "@grpc/grpc-js";
import type { Clock } from "../../core/clock.ts";
import { SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { asMeshError, errorText, MeshError } from "../../core/errors.ts";
import { type Identity, identityOf, identityParts, type TrustDomain } from "../../core/identity.ts";
import type { Log } from "../../core/log.ts";
import { limitLog } from "../../core/log-limit.ts";
import type { GateLimits } from "../../identity/connection-gate.ts";
import { type GrpcListener, listenGrpc, type PeerOf } from "../../identity/grpc-server.ts";
import { grpcStatusOf } from "../../identity/grpc-status.ts";
import type { SvidSource } from "../../identity/svid-source.ts";
import type { TrustStore } from "../../identity/trust-store.ts";
import type { JoinRequest__Output } from "../../protos/gen/causeway/federation/v1/JoinRequest.ts";
import type { JoinResponse } from "../../protos/gen/causeway/federation/v1/JoinResponse.ts";
import type { SyncMessage } from "../../protos/gen/causeway/federation/v1/SyncMessage.ts";
import type { FederationMetrics } from "./federation-metrics.ts";
import { LIMITS } from "./limits.ts";
import { FEDERATION_SERVICE, type Incoming } from "./sync-codec.ts";
import { serverPipe } from "./sync-grpc.ts";
import type { SyncPipe } from "./sync-pipe.ts";

/** 256 gateways behind one address may come back at once; whoever proves itself leaves room for others. */
const PORT_LIMITS: GateLimits = {
  unproven: 1_024,
  unprovenPerAddress: 256,
  unprovenBurst: 512,
  unprovenPerSecond: 16,
  anonymousBytes: 131_072,
  perIdentity: 16,
  identityBurst: 32,
  identityPerSecond: 2,
  overheadBurst: 2_097_152,
  overheadPerSecond: 262_144,
};
const JOIN = "/causeway.federation.v1.Federation/Join";

export interface FederationServerDeps {
  readonly host: string;
  readonly port: number;
  readonly source: SvidSource;
  readonly trust: TrustStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: FederationMetrics;
  /** What the gateway of a trust domain is told that is not believed; undefined: nothing. */
  readonly strangers: (trustDomain: TrustDomain) => MeshError | undefined;
  readonly join: (request: JoinRequest__Output) => Promise<JoinResponse>;
  /** Takes the stream of the gateway of `trustDomain`. @throws MeshError LINK_UNKNOWN, LINK_EXISTS, REGISTRY_UNAVAILABLE */
  readonly accept: (trustDomain: TrustDomain, pipe: () => SyncPipe) => Promise<void>;
}

/** Only a peer's gateway may speak for its cluster, whatever else runs under its root. @throws MeshError */
function gatewayDomain(identity: Identity | undefined): TrustDomain {
  if (identity === undefined)
    throw new MeshError("CERTIFICATE_INVALID", "Cannot sync: the caller shows no certificate.");
  const { trustDomain } = identityParts(identity);
  if (identity !== identityOf(trustDomain, SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.gateway)) {
    throw new MeshError("IDENTITY_UNEXPECTED", `Cannot sync: ${identity} is not a gateway.`);
  }
  return trustDomain;
}

/** Serves Join to anybody with a token and Sync to linked gateways. @throws MeshError PORT_IN_USE */
export function listenFederation(deps: FederationServerDeps): Promise<GrpcListener> {
  const { host, port, source, trust, clock, metrics } = deps;
  // Whoever reaches the port can make it say something.
  const log = limitLog(deps.log, clock);
  const services = (server: Server, peerOf: PeerOf) => {
    const handlers: {
      Join: handleUnaryCall<JoinRequest__Output, JoinResponse>;
      Sync: handleBidiStreamingCall<Incoming, SyncMessage>;
    } = {
      Join(call, callback) {
        deps.join(call.request).then(
          (response) => callback(null, response),
          (error: unknown) => callback(grpcStatusOf(error)),
        );
      },
      Sync(call) {
        const refuse = (error: unknown) => {
          const { code } = asMeshError(error, "INTERNAL", "sync");
          metrics.streamRefused(code);
          log.info("stream refused", { code, reason: errorText(error) });
          call.emit("error", grpcStatusOf(error));
        };
        try {
          const trustDomain = gatewayDomain(peerOf(call));
          deps.accept(trustDomain, () => serverPipe(call, `sync with ${trustDomain}`)).catch(refuse);
        } catch (error) {
          refuse(error);
        }
      },
    };
    server.addService(FEDERATION_SERVICE, handlers);
  };
  return listenGrpc({
    ...{ host, port, source, trust, clock, log, services },
    anonymousMethods: [JOIN],
    presentRoot: true,
    // A message that is a little too large is answered with why.
    limits: { maxStreamsPerConnection: 8, maxMessageBytes: LIMITS.messageBytes + 65_536 },
    gate: {
      limits: PORT_LIMITS,
      onRefused: (reason) => metrics.connectionRefused(reason),
      sizeOf: (message) => (message as Partial<Incoming>).bytes ?? 0,
    },
    strangers: deps.strangers,
  });
}
