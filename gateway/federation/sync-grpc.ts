import type { ServerDuplexStream, ServiceError } from "@grpc/grpc-js";
import type { Clock } from "../../core/clock.ts";
import { SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import type { MeshError } from "../../core/errors.ts";
import { identityOf, type TrustDomain } from "../../core/identity.ts";
import { grpcChannelCredentials } from "../../identity/grpc-channel.ts";
import { meshErrorOf } from "../../identity/grpc-status.ts";
import type { WorkloadTls } from "../../identity/workload-tls.ts";
import type { SyncMessage } from "../../protos/gen/causeway/federation/v1/SyncMessage.ts";
import { federationAuthority } from "./gateway-address.ts";
import { FEDERATION_CLIENT_OPTIONS } from "./join-client.ts";
import { type Incoming, openSync } from "./sync-codec.ts";
import type { SyncPipe, SyncPipeUser } from "./sync-pipe.ts";

/** Opens a stream to a peer's gateway; it tells by `onClose` when that does not come about. */
export type DialSync = (
  peer: { trustDomain: TrustDomain; cluster: string },
  gateway: { host: string; federationPort: number },
) => SyncPipe;

/** Dials over mutual TLS: only the peer's gateway, by its SPIFFE ID, will do. */
export function grpcDialer(tls: WorkloadTls, clock: Clock): DialSync {
  return ({ trustDomain, cluster }, gateway) => {
    const expected = identityOf(trustDomain, SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.gateway);
    const credentials = grpcChannelCredentials({ tls, trustDomain, expected, clock });
    const { stream, close } = openSync(federationAuthority(gateway), credentials, FEDERATION_CLIENT_OPTIONS);
    const read = (error: ServiceError) => meshErrorOf(error, `sync with ${cluster}`, credentials.lastFailure);
    return pipeOf(stream, read, () => stream.cancel(), close);
  };
}

/** The server's end of a stream. */
export function serverPipe(call: ServerDuplexStream<Incoming, SyncMessage>, doing: string): SyncPipe {
  return pipeOf(
    call,
    (error) => meshErrorOf(error, doing),
    () => call.destroy(),
    () => {},
  );
}

interface Duplex {
  write(message: SyncMessage): boolean;
  end(): void;
  readonly writableLength: number;
  on(event: "data", listener: (incoming: Incoming) => void): unknown;
  on(event: "end" | "close" | "cancelled", listener: () => void): unknown;
  on(event: "error", listener: (error: ServiceError) => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

function pipeOf(
  stream: Duplex,
  read: (error: ServiceError) => MeshError,
  destroy: () => void,
  onGone: () => void,
): SyncPipe {
  let user: SyncPipeUser | undefined;
  let closed: { error: MeshError | undefined } | undefined;
  let writable = true;
  const close = (error: MeshError | undefined) => {
    if (closed !== undefined) return;
    closed = { error };
    writable = false;
    onGone();
    user?.onClose(error);
  };
  // Flowing only once there is somebody to take the messages.
  stream.pause();
  stream.on("data", (incoming) => {
    if (closed === undefined) user?.onMessage(incoming);
  });
  stream.on("error", (error) => close(read(error)));
  stream.on("cancelled", () => close(undefined));
  stream.on("close", () => close(undefined));
  stream.on("end", () => {
    if (writable) {
      writable = false;
      stream.end();
    }
    close(undefined);
  });
  return {
    use(next) {
      user = next;
      if (closed === undefined) stream.resume();
      else next.onClose(closed.error);
    },
    send(message) {
      if (writable) stream.write(message);
    },
    get backlog() {
      return stream.writableLength;
    },
    end() {
      if (!writable) return;
      writable = false;
      stream.end();
    },
    destroy() {
      writable = false;
      destroy();
      close(undefined);
    },
  };
}
