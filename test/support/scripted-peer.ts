import { makeClientConstructor } from "@grpc/grpc-js";
import { systemClock } from "../../core/clock.ts";
import { SERVICE_ACCOUNTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import type { MeshError } from "../../core/errors.ts";
import { identityOf } from "../../core/identity.ts";
import { FEDERATION_CLIENT_OPTIONS } from "../../gateway/federation/join-client.ts";
import { FEDERATION_SERVICE, readSyncMessage } from "../../gateway/federation/sync-codec.ts";
import { grpcChannelCredentials } from "../../identity/grpc-channel.ts";
import { meshErrorOf } from "../../identity/grpc-status.ts";
import type { Ack__Output } from "../../protos/gen/causeway/federation/v1/Ack.ts";
import type { SyncMessage, SyncMessage__Output } from "../../protos/gen/causeway/federation/v1/SyncMessage.ts";
import { eventually } from "./eventually.ts";
import type { GatewayWorld } from "./gateway-world.ts";

const { Sync } = FEDERATION_SERVICE;
const Client = makeClientConstructor(FEDERATION_SERVICE, "Raw");

/** How a message looks on the wire. */
export function wireOf(message: SyncMessage): Buffer {
  return Sync.requestSerialize(message);
}

/**
 * The gateway of `own`, of which only its identity is real: it sends whatever it is told to, garbage included, and
 * answers what comes as one that means well.
 */
export class ScriptedPeer {
  readonly received: SyncMessage__Output[] = [];
  readonly #client: InstanceType<typeof Client>;
  readonly #stream;
  readonly #beating: NodeJS.Timeout;
  /** Why the stream ended, if it did; "" where nobody said. */
  ended: string | undefined;
  #nonce = 0;
  #revision = 0;

  constructor(own: GatewayWorld, peer: GatewayWorld) {
    const { trustDomain } = peer.mesh.authority;
    own.workload.trust.set(peer.mesh.authority.bundle);
    const expected = identityOf(trustDomain, SYSTEM_NAMESPACE, SERVICE_ACCOUNTS.gateway);
    const credentials = grpcChannelCredentials({ tls: own.workload.tls, trustDomain, expected, clock: systemClock });
    const options = { ...FEDERATION_CLIENT_OPTIONS, "grpc.max_send_message_length": -1 };
    this.#client = new Client(`127.0.0.1:${peer.port}`, credentials, options);
    this.#stream = this.#client.makeBidiStreamRequest<Buffer, { body: SyncMessage__Output | MeshError }>(
      Sync.path,
      (bytes) => bytes,
      readSyncMessage,
    );
    this.#stream.on("data", ({ body }) => this.#onMessage(body as SyncMessage__Output));
    this.#stream.on("error", (error: Error) => {
      this.ended ??= meshErrorOf(error, "sync", credentials.lastFailure).code;
    });
    this.#stream.on("status", () => {
      this.ended ??= "";
    });
    this.#beating = setInterval(() => this.send({ heartbeat: { sequence: 1, sentAtMs: 1 } }), 200);
  }

  send(message: SyncMessage): void {
    this.raw(wireOf(message));
  }

  /** A gRPC message of these bytes. */
  raw(bytes: Buffer): void {
    if (this.ended === undefined) this.#stream.write(bytes);
  }

  /** Sends an update under the next revision, where it names none, and resolves with the answer. */
  async update(update: NonNullable<SyncMessage["update"]>): Promise<Ack__Output> {
    const nonce = `n${++this.#nonce}`;
    this.#revision++;
    this.send({ update: { kind: "KIND_SERVICES", revision: this.#revision, nonce, ...update } });
    return this.answerTo(nonce);
  }

  get revision(): number {
    return this.#revision;
  }

  answerTo(nonce: string): Promise<Ack__Output> {
    return eventually(() => this.received.find(({ ack }) => ack?.nonce === nonce)?.ack ?? undefined);
  }

  /** The stream is cut by the other side. */
  async cut(): Promise<string> {
    await eventually(() => this.ended !== undefined);
    const goodbye = this.received.find((message) => message.goodbye)?.goodbye;
    return goodbye?.reason ?? this.ended ?? "";
  }

  close(): void {
    clearInterval(this.#beating);
    this.#stream.on("error", () => {});
    this.#stream.cancel();
    this.#client.close();
  }

  #onMessage(message: SyncMessage__Output): void {
    // Heartbeats and what they answer would drown the rest.
    if (message.heartbeat) return;
    this.received.push(message);
    const { update, digest } = message;
    if (update) this.send({ ack: { kind: update.kind, nonce: update.nonce, revision: update.revision } });
    if (digest) this.send({ ack: { nonce: digest.nonce } });
  }
}
