import type { Server, ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import type { Clock } from "../core/clock.ts";
import { TOKEN_AUDIENCE } from "../core/defaults.ts";
import { asMeshError, MeshError } from "../core/errors.ts";
import { type Identity, identityOf, type TrustDomain } from "../core/identity.ts";
import type { Log } from "../core/log.ts";
import { notAfterMs } from "../identity/certificate.ts";
import { type CertificateAuthority, issueLeaf } from "../identity/certificate-authority.ts";
import { type CertificateRequest, parseCsr } from "../identity/csr.ts";
import type { PeerOf } from "../identity/grpc-server.ts";
import { grpcStatusOf } from "../identity/grpc-status.ts";
import { trustDomainOf } from "../identity/svid-rules.ts";
import { encodeTrust } from "../identity/trust-state.ts";
import type { TrustStore } from "../identity/trust-store.ts";
import type { TokenReviewResult } from "../kube/client.ts";
import type { CertifyRequest__Output } from "../protos/gen/causeway/identity/v1/CertifyRequest.ts";
import type { CertifyResponse } from "../protos/gen/causeway/identity/v1/CertifyResponse.ts";
import type { TrustState } from "../protos/gen/causeway/identity/v1/TrustState.ts";
import type { WatchTrustRequest__Output } from "../protos/gen/causeway/identity/v1/WatchTrustRequest.ts";
import { loadIdentity } from "../protos/load.ts";
import type { IdentityMetrics } from "./ca/identity-metrics.ts";
import { RateLimit } from "./rate-limit.ts";

/** Open to callers that have no certificate yet, for `listenGrpc`. */
export const ANONYMOUS_IDENTITY_METHODS = ["/causeway.identity.v1.Identity/Certify"] as const;

const MAX_TOKEN_BYTES = 16 * 1024;
const MAX_WATCHERS = 10_000;
/** A pod that restarts in a loop needs a few; whoever asks for more is broken. */
const PER_IDENTITY = { burst: 20, perSecond: 1 };
const IN_TOTAL = { burst: 400, perSecond: 100 };
const MAX_UNDER_WAY = 128;

export interface IdentityServiceDeps {
  readonly authority: () => CertificateAuthority;
  /** Life of what is issued, ms. */
  readonly leafLifetimeMs: number;
  readonly metrics: IdentityMetrics;
  /** What WatchTrust serves; the own bundle must be in it. */
  readonly trust: TrustStore;
  readonly reviewToken: (token: string, audiences: readonly string[]) => Promise<TokenReviewResult>;
  readonly peerOf: PeerOf;
  readonly clock: Clock;
  readonly log: Log;
}

/** Adds `Identity` to a server. The returned function ends all WatchTrust streams. */
export function addIdentityService(server: Server, deps: IdentityServiceDeps): () => void {
  const service = new IdentityService(deps);
  server.addService(loadIdentity().Identity.service, {
    Certify: (
      call: ServerUnaryCall<CertifyRequest__Output, CertifyResponse>,
      callback: sendUnaryData<CertifyResponse>,
    ) => {
      service.certify(call.request).then(
        (response) => callback(null, response),
        (error: unknown) => callback(grpcStatusOf(error)),
      );
    },
    WatchTrust: (call: ServerWritableStream<WatchTrustRequest__Output, TrustState>) => service.watchTrust(call),
  });
  return () => service.close();
}

class IdentityService {
  readonly #deps: IdentityServiceDeps;
  readonly #perIdentity: RateLimit;
  readonly #total: RateLimit;
  readonly #watchers = new Map<ServerWritableStream<WatchTrustRequest__Output, TrustState>, () => void>();
  #underWay = 0;

  constructor(deps: IdentityServiceDeps) {
    this.#deps = deps;
    this.#perIdentity = new RateLimit(deps.clock, PER_IDENTITY);
    this.#total = new RateLimit(deps.clock, IN_TOTAL);
  }

  async certify({ csr, token }: CertifyRequest__Output): Promise<CertifyResponse> {
    const { log, metrics } = this.#deps;
    try {
      // The total comes before the token is reviewed: it is the API server that it protects.
      if (this.#underWay >= MAX_UNDER_WAY || !this.#total.take("")) throw tooMany("all callers");
      this.#underWay++;
      try {
        return await this.#sign(csr, token);
      } finally {
        this.#underWay--;
      }
    } catch (error) {
      const { code, message } = asMeshError(error, "CA_UNAVAILABLE", "certify");
      metrics.refused(code);
      log.warn("certify.refused", { code, error: message });
      throw asMeshError(error, "CA_UNAVAILABLE", "certify");
    }
  }

  async #sign(csr: Buffer, token: string): Promise<CertifyResponse> {
    const { authority, leafLifetimeMs, metrics, trust, clock, log } = this.#deps;
    if (token === "" || token.length > MAX_TOKEN_BYTES) throw refused("the token is missing or too long");
    const request: CertificateRequest = parseCsr(csr);
    const holder = await this.#holderOf(token, authority().trustDomain);
    if (holder !== request.identity) throw refused(`the token is of ${holder}, the request for ${request.identity}`);
    if (!this.#perIdentity.take(holder)) throw tooMany(holder);
    const chain = issueLeaf(authority(), request, clock.wallMs(), leafLifetimeMs);
    const endMs = Math.min(...chain.slice(0, 1).map(notAfterMs));
    metrics.issued();
    log.info("certify.issued", { identity: holder, notAfter: new Date(endMs).toISOString() });
    return { chain: chain.map(({ raw }) => raw), notAfterMs: endMs, trust: encodeTrust(trust.bundles.values()) };
  }

  async #holderOf(token: string, trustDomain: TrustDomain): Promise<Identity> {
    const review = await this.#deps.reviewToken(token, [TOKEN_AUDIENCE]);
    if (!review.authenticated) throw refused(review.error === "" ? "the API server does not accept it" : review.error);
    if (!review.audiences.includes(TOKEN_AUDIENCE)) throw refused(`it is not for audience ${TOKEN_AUDIENCE}`);
    const [system, kind, namespace, serviceAccount, ...rest] = review.username.split(":");
    if (
      system !== "system" ||
      kind !== "serviceaccount" ||
      namespace === undefined ||
      serviceAccount === undefined ||
      rest.length > 0
    ) {
      throw refused("it is not of a ServiceAccount");
    }
    return identityOf(trustDomain, namespace, serviceAccount);
  }

  watchTrust(call: ServerWritableStream<WatchTrustRequest__Output, TrustState>): void {
    const { trust, peerOf, authority } = this.#deps;
    const peer = peerOf(call);
    if (peer === undefined || trustDomainOf(peer) !== authority().trustDomain) {
      call.emit(
        "error",
        grpcStatusOf(
          new MeshError("IDENTITY_UNEXPECTED", "Cannot watch trust: the caller is not of this trust domain."),
        ),
      );
      return;
    }
    if (this.#watchers.size >= MAX_WATCHERS) {
      call.emit("error", grpcStatusOf(new MeshError("LIMIT_EXCEEDED", "Cannot watch trust: too many do already.")));
      return;
    }
    const feed = new LatestOnly(call, () => encodeTrust(trust.bundles.values()));
    const stop = trust.onChange(() => feed.changed());
    const end = () => {
      stop();
      this.#watchers.delete(call);
    };
    this.#watchers.set(call, end);
    call.on("cancelled", end);
    call.on("error", end);
    call.on("close", end);
    feed.changed();
  }

  close(): void {
    for (const [call, end] of [...this.#watchers]) {
      end();
      call.end();
    }
  }
}

/** Writes the state of the moment; a reader that is slow misses what was in between, never the latest. */
class LatestOnly {
  readonly #call: ServerWritableStream<WatchTrustRequest__Output, TrustState>;
  readonly #state: () => TrustState;
  #waiting = false;
  #stale = false;

  constructor(call: ServerWritableStream<WatchTrustRequest__Output, TrustState>, state: () => TrustState) {
    this.#call = call;
    this.#state = state;
  }

  changed(): void {
    if (this.#waiting) {
      this.#stale = true;
      return;
    }
    if (this.#call.write(this.#state())) return;
    this.#waiting = true;
    this.#call.once("drain", () => {
      this.#waiting = false;
      if (!this.#stale) return;
      this.#stale = false;
      this.changed();
    });
  }
}

function refused(what: string): MeshError {
  return new MeshError("SA_TOKEN_REFUSED", `Cannot certify: ${what}.`);
}

function tooMany(who: string): MeshError {
  return new MeshError("LIMIT_EXCEEDED", `Cannot certify: too many requests of ${who}. Try later.`);
}
