import { backoffMs, RECONNECT } from "../../core/backoff.ts";
import { type Clock, sleep } from "../../core/clock.ts";
import { CA_NAMESPACE, SERVICE_ACCOUNTS, SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../../core/defaults.ts";
import { errorText, hasCode, MeshError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { MAX_ROOTS } from "../../core/trust-bundle.ts";
import { parseCertificates } from "../../identity/certificate.ts";
import type { KubeClient } from "../../kube/client.ts";
import { readPublishedTrust } from "../../kube/published-trust.ts";
import { CONFIG_MAPS, LINKS, NAMESPACES, SERVICE_ACCOUNTS as SERVICE_ACCOUNT_TYPE } from "../../kube/resources.ts";

/** Tries until it succeeds; what cannot get better by itself is thrown at once. @throws MeshError ABORTED, KUBE_DENIED */
export async function untilDone<T>(
  what: string,
  run: () => Promise<T>,
  clock: Clock,
  log: Log,
  signal: AbortSignal,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      if (hasCode(error, "KUBE_DENIED", "USAGE", "ABORTED", "PORT_IN_USE")) throw error;
      log.warn("serve.waiting", { what, error: errorText(error), attempt });
      await sleep(clock, backoffMs(attempt, { ...RECONNECT, maxMs: 2_000 }, Math.random), signal);
    }
  }
}

/**
 * What `mesh install` brings, as far as a role out of the cluster needs it: the namespace and the ServiceAccounts.
 * A role's own account may not create them; there `mesh install` has.
 * @throws MeshError NOT_INSTALLED without the resource definitions, KUBE_DENIED where nothing at all is allowed
 */
export async function ensureFoundation(kube: KubeClient): Promise<void> {
  for (const name of [SYSTEM_NAMESPACE, CA_NAMESPACE]) {
    await createIfAllowed(() => kube.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name } }));
  }
  for (const name of Object.values(SERVICE_ACCOUNTS)) {
    const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace: SYSTEM_NAMESPACE } };
    await createIfAllowed(() => kube.create(SERVICE_ACCOUNT_TYPE, account));
  }
  try {
    await kube.list(LINKS);
  } catch (error) {
    if (hasCode(error, "KUBE_DENIED")) {
      // Control has no business with Links, but with this.
      await kube.get(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE);
      return;
    }
    if (!hasCode(error, "KUBE_NOT_FOUND")) throw error;
    throw new MeshError(
      "NOT_INSTALLED",
      "Cannot serve: the cluster lacks Causeway's resource definitions. Run mesh install --crds.",
      { cause: error },
    );
  }
}

async function createIfAllowed(create: () => Promise<unknown>): Promise<void> {
  try {
    await create();
  } catch (error) {
    if (!hasCode(error, "KUBE_CONFLICT", "KUBE_DENIED")) throw error;
  }
}

/** The cluster's roots as control published them, DER. @throws MeshError NOT_INSTALLED before it has */
export async function publishedRoots(kube: KubeClient): Promise<Uint8Array[]> {
  const trust = await readPublishedTrust(kube);
  if (trust === undefined)
    throw new MeshError("NOT_INSTALLED", "Cannot find the cluster's root: control has not published it yet.");
  return parseCertificates(trust.rootPem, MAX_ROOTS).map(({ raw }) => new Uint8Array(raw));
}
