import type { ServerDuplexStream } from "@grpc/grpc-js";
import { PROTOCOL } from "../core/defaults.ts";
import { MeshError } from "../core/errors.ts";
import { type Identity, identityParts } from "../core/identity.ts";
import type { Hello__Output } from "../protos/gen/causeway/discovery/v1/Hello.ts";
import type { WatchRequest__Output } from "../protos/gen/causeway/discovery/v1/WatchRequest.ts";
import type { WatchResponse } from "../protos/gen/causeway/discovery/v1/WatchResponse.ts";
import { parseAuthority, type Target } from "./authority.ts";

export type WatchCall = ServerDuplexStream<WatchRequest__Output, WatchResponse>;

/** One name that a proxy asked for. */
export interface Subscription {
  readonly session: DiscoverySession;
  readonly authority: string;
  readonly target: Target;
  /** Names of services on which the answer depends. */
  names: readonly string[];
  /** Clusters whose gateways and bundle the last answer used. */
  clusters: ReadonlySet<string>;
  /** Last answer as JSON, so that equal ones are not sent again. */
  sent: string;
}

/** Names a proxy may hold at once; more is LIMIT_EXCEEDED. */
const MAX_SUBSCRIPTIONS = 4_096;
const MAX_AUTHORITY_LENGTH = 262;

/**
 * One proxy's stream. Holds only the newest unsent message of each kind, so a slow proxy costs bounded memory
 * and then gets the newest state.
 */
export class DiscoverySession {
  readonly identity: Identity;
  readonly namespace: string;
  readonly subscriptions = new Map<string, Subscription>();
  hello: Hello__Output | undefined;
  /** Last InboundState sent, as JSON. */
  sentInbound = "";
  readonly #call: WatchCall;
  readonly #waiting = new Map<string, WatchResponse>();
  #blocked = false;

  constructor(call: WatchCall, identity: Identity) {
    this.#call = call;
    this.identity = identity;
    this.namespace = identityParts(identity).namespace;
    call.on("drain", () => {
      this.#blocked = false;
      this.#flush();
    });
  }

  /** @throws MeshError PROTOCOL_VERSION, PROTOCOL_VIOLATION, IDENTITY_UNEXPECTED */
  greet(hello: Hello__Output): void {
    if (this.hello !== undefined) throw new MeshError("PROTOCOL_VIOLATION", "Cannot take a second Hello.");
    if (hello.protocol !== PROTOCOL.discovery) {
      throw new MeshError(
        "PROTOCOL_VERSION",
        `Cannot serve discovery protocol ${hello.protocol}: this control speaks ${PROTOCOL.discovery}. Upgrade the older side.`,
      );
    }
    if (hello.namespace !== this.namespace) {
      throw new MeshError(
        "IDENTITY_UNEXPECTED",
        `Cannot serve ${this.identity} as a workload of namespace "${hello.namespace}".`,
      );
    }
    this.hello = hello;
  }

  /** The new subscriptions among `authorities`. @throws MeshError PROTOCOL_VIOLATION, LIMIT_EXCEEDED */
  subscribe(authorities: readonly string[]): Subscription[] {
    if (this.hello === undefined) throw new MeshError("PROTOCOL_VIOLATION", "Cannot subscribe before Hello.");
    const added: Subscription[] = [];
    for (const authority of authorities) {
      if (this.subscriptions.has(authority)) continue;
      if (authority.length > MAX_AUTHORITY_LENGTH)
        throw new MeshError("LIMIT_EXCEEDED", "Cannot subscribe to a name over 255 characters.");
      if (this.subscriptions.size >= MAX_SUBSCRIPTIONS) {
        throw new MeshError("LIMIT_EXCEEDED", `Cannot hold more than ${MAX_SUBSCRIPTIONS} names for one proxy.`);
      }
      const target = parseAuthority(authority, this.namespace);
      const subscription: Subscription = { session: this, authority, target, names: [], clusters: new Set(), sent: "" };
      this.subscriptions.set(authority, subscription);
      added.push(subscription);
    }
    return added;
  }

  /** Queues `message`, replacing an unsent one about the same `subject`. */
  send(subject: string, message: WatchResponse): void {
    this.#waiting.delete(subject);
    this.#waiting.set(subject, message);
    this.#flush();
  }

  #flush(): void {
    for (const [subject, message] of this.#waiting) {
      if (this.#blocked) return;
      this.#waiting.delete(subject);
      this.#blocked = !this.#call.write(message);
    }
  }
}
