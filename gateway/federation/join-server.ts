import { createHash, randomBytes } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { LINK_FINALIZER, PROTOCOL, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { hasCode, MeshError } from "../../core/errors.ts";
import { parseTrustDomain, type TrustDomain } from "../../core/identity.ts";
import type { GatewayAddress } from "../../core/link.ts";
import type { Log } from "../../core/log.ts";
import { parseClusterName } from "../../core/mirror-name.ts";
import type { TrustBundle } from "../../core/trust-bundle.ts";
import { rootFingerprint } from "../../identity/certificate.ts";
import { encodeBundle } from "../../identity/trust-state.ts";
import type { KubeClient } from "../../kube/client.ts";
import { LINKS, type Link, SECRETS, type Secret } from "../../kube/resources.ts";
import type { JoinRequest__Output } from "../../protos/gen/causeway/federation/v1/JoinRequest.ts";
import type { JoinResponse } from "../../protos/gen/causeway/federation/v1/JoinResponse.ts";
import { parseGatewayAddress } from "./gateway-address.ts";
import {
  isJoinSecret,
  isJoinTokenId,
  type JoinTokenRecord,
  joinSecretName,
  joinTokenData,
  readJoinTokenRecord,
  redeem,
} from "./join-token.ts";
import { LIMITS } from "./limits.ts";
import { type JoinedLink, joinedData, joinedSecret, linkSecretName, readLinkRecord } from "./link-record.ts";
import { readBundleMessage } from "./wire.ts";

/** Joins in one second, from whomever: a token's secret is not to be guessed at leisure. */
const JOINS_PER_SECOND = 10;
const CONFLICT_TRIES = 5;

export interface JoinServerDeps {
  readonly cluster: string;
  readonly trustDomain: TrustDomain;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** Our own bundle and gateways, as of now. @throws MeshError CA_UNAVAILABLE while there is none */
  readonly bundle: () => TrustBundle;
  readonly gateways: () => readonly GatewayAddress[];
}

interface Caller {
  readonly cluster: string;
  readonly bundle: TrustBundle;
  readonly bundleHash: string;
  readonly gateways: readonly GatewayAddress[];
}

/** The accepting side of Join: what it answers is stored before. */
export class JoinServer {
  readonly #deps: JoinServerDeps;
  #second = 0;
  #joins = 0;

  constructor(deps: JoinServerDeps) {
    this.#deps = deps;
  }

  /**
   * Redeems a token: the caller's Link (which does not dial) and its Secret are there when this returns.
   * @throws MeshError PROTOCOL_VERSION, LINK_SELF, LINK_EXISTS, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_USED,
   * LIMIT_EXCEEDED, NAME_INVALID, IDENTITY_*, CERTIFICATE_INVALID, KUBE_*
   */
  async join(request: JoinRequest__Output): Promise<JoinResponse> {
    this.#limitRate();
    const { cluster, log } = this.#deps;
    const caller = this.#check(request);
    try {
      await this.#redeem(request, caller);
      const joined = await this.#store(request, caller);
      log.info("link joined", { link: caller.cluster, token: request.tokenId });
      return {
        cluster,
        bundle: encodeBundle(this.#deps.bundle()),
        gateways: [...this.#deps.gateways()],
        linkSecret: Buffer.from(joined.linkSecret),
        protocol: PROTOCOL.federation,
      };
    } catch (error) {
      log.warn("join refused", { link: caller.cluster, code: error instanceof MeshError ? error.code : "INTERNAL" });
      throw error;
    }
  }

  #limitRate(): void {
    const second = Math.floor(this.#deps.clock.nowMs() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#joins = 0;
    }
    if (++this.#joins > JOINS_PER_SECOND) {
      throw new MeshError("LIMIT_EXCEEDED", "Cannot join: too many attempts. Wait a second and try again.");
    }
  }

  #check(request: JoinRequest__Output): Caller {
    const own = this.#deps;
    if (request.protocol !== PROTOCOL.federation) {
      throw new MeshError(
        "PROTOCOL_VERSION",
        `Cannot join: the caller speaks protocol ${request.protocol}, ${own.cluster} ${PROTOCOL.federation}. Upgrade the older side.`,
      );
    }
    const cluster = parseClusterName(request.cluster);
    const trustDomain = parseTrustDomain(request.bundle?.trustDomain ?? "");
    if (cluster === own.cluster || trustDomain === own.trustDomain) {
      throw new MeshError("LINK_SELF", `Cannot link ${own.cluster} to itself. Redeem the token in another cluster.`);
    }
    const bundle = readBundleMessage(request.bundle, { cluster, trustDomain });
    if (request.gateways.length > LIMITS.gateways)
      throw new MeshError("LIMIT_EXCEEDED", "Cannot join: too many gateways are named.");
    const hash = createHash("sha256");
    for (const der of bundle.x509Authorities) hash.update(der);
    return { cluster, bundle, bundleHash: hash.digest("hex"), gateways: request.gateways.map(parseGatewayAddress) };
  }

  async #redeem(request: JoinRequest__Output, caller: Caller): Promise<void> {
    const { kube, clock } = this.#deps;
    const unknown = () =>
      new MeshError(
        "TOKEN_INVALID",
        "Cannot redeem the join token: it is unknown here. Make a new one with mesh link token.",
      );
    if (!isJoinTokenId(request.tokenId)) throw unknown();
    await this.#retryConflicts(async () => {
      const secret = await kube.get<Secret>(SECRETS, joinSecretName(request.tokenId), SYSTEM_NAMESPACE);
      const record = secret && readJoinTokenRecord(secret);
      if (secret === undefined || record === undefined || !isJoinSecret(request.tokenSecret, record)) throw unknown();
      if (redeem(record, caller, clock.wallMs()) === "same") return;
      await this.#checkLink(caller);
      const usedBy = { cluster: caller.cluster, bundleHash: caller.bundleHash };
      const used: JoinTokenRecord = { ...record, usedBy };
      await kube.replace<Secret>(SECRETS, { ...secret, data: joinTokenData(used) });
    });
  }

  /** A token proves that somebody may join, not that they are the cluster we know under that name. */
  async #checkLink(caller: Caller): Promise<void> {
    const { kube } = this.#deps;
    const links = await kube.list<Link>(LINKS);
    const { trustDomain } = caller.bundle;
    for (const { metadata, spec } of links) {
      if (metadata.name === caller.cluster && metadata.deletionTimestamp !== undefined) {
        throw new MeshError(
          "LINK_EXISTS",
          `Cannot join ${caller.cluster}: it is being unlinked. Try again in a moment.`,
        );
      }
      if ((metadata.name === caller.cluster) !== (spec.trustDomain === trustDomain)) {
        throw new MeshError(
          "LINK_EXISTS",
          `Cannot join ${caller.cluster} as ${trustDomain}: link ${metadata.name} has that name or trust domain. Unlink it first.`,
        );
      }
    }
    const known = readLinkRecord(
      await kube.get<Secret>(SECRETS, linkSecretName(caller.cluster), SYSTEM_NAMESPACE),
    ).joined;
    const shared = known?.bundle.x509Authorities.some((a) =>
      caller.bundle.x509Authorities.some((b) => Buffer.compare(a, b) === 0),
    );
    if (known !== undefined && shared !== true && links.some((link) => link.metadata.name === caller.cluster)) {
      throw new MeshError(
        "LINK_EXISTS",
        `Cannot join ${caller.cluster}: it is linked with another root. Unlink it first if it was built anew.`,
      );
    }
  }

  async #store(request: JoinRequest__Output, caller: Caller): Promise<JoinedLink> {
    const { kube } = this.#deps;
    const joined = await this.#retryConflicts(() => this.#storeSecret(request.tokenId, caller));
    await this.#retryConflicts(async () => {
      const known = await kube.get<Link>(LINKS, caller.cluster);
      if (known !== undefined) {
        await this.#adjust(known, request);
        return;
      }
      const { trustDomain, x509Authorities } = caller.bundle;
      const link: Link = {
        apiVersion: "causeway.dev/v1alpha1",
        kind: "Link",
        metadata: { name: caller.cluster, finalizers: [LINK_FINALIZER] },
        spec: {
          cluster: caller.cluster,
          trustDomain,
          gateways: caller.gateways.map((gateway) => ({ ...gateway })),
          rootFingerprint: rootFingerprint(x509Authorities[0] ?? new Uint8Array()),
          dial: false,
          import: request.offersExport,
          export: request.wantsImport,
          secretName: linkSecretName(caller.cluster),
        },
      };
      await kube.create<Link>(LINKS, link);
    });
    return joined;
  }

  /** Another join may want more, or less, than the one before. A Link of this cluster's own making stays as it is. */
  async #adjust({ metadata, spec }: Link, { offersExport, wantsImport }: JoinRequest__Output): Promise<void> {
    if (spec.dial || (spec.import === offersExport && spec.export === wantsImport)) return;
    const patch = { spec: { import: offersExport, export: wantsImport } };
    await this.#deps.kube.mergePatch<Link>(LINKS, metadata.name, undefined, patch);
  }

  async #storeSecret(tokenId: string, caller: Caller): Promise<JoinedLink> {
    const { kube } = this.#deps;
    // The Link may be of another hand and name its Secret otherwise.
    const link = await kube.get<Link>(LINKS, caller.cluster);
    const name = link?.spec.secretName ?? linkSecretName(caller.cluster);
    const secret = await kube.get<Secret>(SECRETS, name, SYSTEM_NAMESPACE);
    const before = readLinkRecord(secret).joined;
    if (before?.joinedBy === tokenId) return before;
    const epoch = (before?.epoch ?? 0n) + 1n;
    const { bundle, gateways } = caller;
    const joined: JoinedLink = {
      linkSecret: new Uint8Array(randomBytes(32)),
      bundle,
      gateways,
      epoch,
      joinedBy: tokenId,
    };
    if (secret === undefined) {
      const created = joinedSecret(caller.cluster, joined);
      await kube.create<Secret>(SECRETS, { ...created, metadata: { ...created.metadata, name } });
    } else {
      await kube.replace<Secret>(SECRETS, { ...secret, data: { ...secret.data, ...joinedData(joined) } });
    }
    return joined;
  }

  /** Two replicas may serve the same caller: whoever comes second looks again. */
  async #retryConflicts<T>(run: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await run();
      } catch (error) {
        if (!hasCode(error, "KUBE_CONFLICT") || tries >= CONFLICT_TRIES) throw error;
      }
    }
  }
}
