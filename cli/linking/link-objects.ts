import { type Clock, sleep } from "../../core/clock.ts";
import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { ERROR_MEANINGS, hasCode, MeshError, type MeshErrorCode } from "../../core/errors.ts";
import type { JoinToken } from "../../gateway/federation/join-token.ts";
import { linkSecretName } from "../../gateway/federation/link-record.ts";
import type { KubeClient } from "../../kube/client.ts";
import { LINKS, type Link, SECRETS, type Secret } from "../../kube/resources.ts";

/** The joining side's Secret and Link for `token`; what GitOps would commit (but for the token, which is secret). */
export function linkObjects(token: JoinToken, tokenText: string, oneWay: boolean): { secret: Secret; link: Link } {
  const secretName = linkSecretName(token.cluster);
  const labels = { "causeway.dev/link": token.cluster };
  return {
    secret: {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: secretName, namespace: SYSTEM_NAMESPACE, labels },
      type: "causeway.dev/link",
      data: { token: Buffer.from(tokenText).toString("base64") },
    },
    link: {
      apiVersion: "causeway.dev/v1alpha1",
      kind: "Link",
      metadata: { name: token.cluster },
      spec: {
        cluster: token.cluster,
        trustDomain: token.trustDomain,
        gateways: token.gateways.map((gateway) => ({ ...gateway })),
        rootFingerprint: token.rootFingerprint,
        dial: true,
        import: true,
        export: !oneWay,
        secretName,
      },
    },
  };
}

const STALE_MS = 3_000;

/** Creates both, or gives what is there a new token; returns whether the Link is new. */
export async function applyLink(kube: KubeClient, objects: { secret: Secret; link: Link }): Promise<boolean> {
  const { secret, link } = objects;
  try {
    await kube.create(SECRETS, secret);
  } catch (error) {
    if (!hasCode(error, "KUBE_CONFLICT")) throw error;
    await kube.mergePatch(SECRETS, secret.metadata.name, SYSTEM_NAMESPACE, { data: secret.data });
  }
  try {
    await kube.create(LINKS, link);
    return true;
  } catch (error) {
    if (!hasCode(error, "KUBE_CONFLICT")) throw error;
    await kube.mergePatch(LINKS, link.metadata.name, undefined, { spec: link.spec });
    return false;
  }
}

const WITHDRAWN_MS = 10_000;

/**
 * Removes a link that never came to be, and sees it gone: its gateway lets it go by a finalizer. Where that is dead it
 * goes when it is back.
 */
export async function withdrawLink(
  kube: KubeClient,
  objects: { secret: Secret; link: Link },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const { name } = objects.link.metadata;
  await kube.delete(LINKS, name);
  await kube.delete(SECRETS, objects.secret.metadata.name, SYSTEM_NAMESPACE);
  const deadlineMs = clock.nowMs() + WITHDRAWN_MS;
  while (clock.nowMs() < deadlineMs && (await kube.get<Link>(LINKS, name)) !== undefined) {
    await sleep(clock, 40, signal);
  }
}

/** "TokenExpired" as the code TOKEN_EXPIRED, where there is such a code. */
function codeOfReason(reason: string): MeshErrorCode {
  const code = reason.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase();
  return code in ERROR_MEANINGS ? (code as MeshErrorCode) : "LINK_REFUSED";
}

/** Why the link of `name` fails now, for `linkActive` to tell from a later reason; undefined where it does not. */
export async function failureBefore(kube: KubeClient, name: string): Promise<string | undefined> {
  const link = await kube.get<Link>(LINKS, name);
  if (link?.status?.phase !== "failed") return undefined;
  return JSON.stringify(link.status.conditions?.findLast((c) => c.status === "False"));
}

/**
 * Waits until the link of `name` is active; `before` is what `failureBefore` said.
 * @throws MeshError with the link's own reason where it failed for good; LINK_TIMEOUT, ABORTED
 */
export async function linkActive(
  kube: KubeClient,
  name: string,
  limitMs: number,
  clock: Clock,
  signal: AbortSignal,
  before?: string,
): Promise<Link> {
  const startedMs = clock.nowMs();
  const deadlineMs = startedMs + limitMs;
  for (;;) {
    const link = await kube.get<Link>(LINKS, name);
    if (link?.status?.phase === "active") return link;
    const bad = link?.status?.conditions?.findLast((c) => c.status === "False");
    // A link that failed before stays so until its gateway has seen the new token.
    const stale = JSON.stringify(bad) === before && clock.nowMs() < startedMs + STALE_MS;
    if (link?.status?.phase === "failed" && !stale) {
      throw new MeshError(
        codeOfReason(bad?.reason ?? ""),
        bad?.message ?? `Cannot link ${name}: it failed. See kubectl describe link ${name}.`,
      );
    }
    if (clock.nowMs() > deadlineMs) {
      const why =
        bad === undefined ? "nothing has taken it up; is mesh serve running there?" : `${bad.reason}: ${bad.message}`;
      throw new MeshError(
        "LINK_TIMEOUT",
        `Cannot link ${name} within ${limitMs} ms (phase ${link?.status?.phase ?? "none"}): ${why}${/[.?]$/.test(why) ? "" : "."} Check that its gateway runs and can be reached from here, then try again.`,
      );
    }
    await sleep(clock, 40, signal);
  }
}
