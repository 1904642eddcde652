import { PORTS, SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { defaultTrustDomain } from "../../core/identity.ts";
import { joinedSecret, linkSecretName } from "../../gateway/federation/link-record.ts";
import { LINKS, type Link, PODS, type Pod, SECRETS } from "../../kube/resources.ts";
import type { FederationLoad } from "./federation-load.ts";
import type { PeerAccount } from "./load-commands.ts";
import { createServices } from "./many-services.ts";
import { pause } from "./propagation.ts";
import type { PeersResult } from "./results.ts";
import { roleUsage } from "./role-usage.ts";
import { type FederationWorld, IMPORTER, NAMESPACE } from "./world.ts";

/** What each peer exports, and what the importer exports to each. */
const PEER_SERVICES = 10;
const OWN_SERVICES = 100;
/** Until what came with the peers is mirrored: so long, and so much more for each. */
const SETTLE_MS = 3_000;
const SETTLE_PER_PEER_MS = 40;
const EPOCH = 1n;

/** Links ever more simulated peers to the importer, beside the exporter, and looks at its roles at each number. */
export async function measurePeers(
  world: FederationWorld,
  load: FederationLoad,
  steps: readonly number[],
  usageMs: number,
  say: (line: string) => void,
): Promise<PeersResult[]> {
  const { mesh, kube } = world;
  const [pod] = await kube[IMPORTER].list<Pod>(PODS, { namespace: NAMESPACE, labelSelector: "app=web" });
  if (pod === undefined) throw new Error("The sample app has no pod.");
  await createServices(kube[IMPORTER], pod, 0, OWN_SERVICES);
  const rootText = await mesh.kubectl(
    IMPORTER,
    ...["-n", SYSTEM_NAMESPACE, "get", "configmap", "causeway-trust", "-o", "jsonpath={.data.root\\.crt}"],
  );
  const root = rootText.replace(/-----[^-]+-----|\s/g, "");
  const gateway = { host: mesh.layout(IMPORTER).gateway, federationPort: PORTS.federation };
  const results: PeersResult[] = [];
  let linked = 0;
  for (const peers of steps) {
    const { peers: accounts } = await load.ask({ kind: "peers", from: linked, to: peers });
    for (const account of accounts) await link(world, account);
    const startMs = performance.now();
    await load.ask({
      ...{ kind: "dial", cluster: IMPORTER, root, gateway, services: PEER_SERVICES, namespace: NAMESPACE },
    });
    const linkedMs = Math.round(performance.now() - startMs);
    await pause(SETTLE_MS + SETTLE_PER_PEER_MS * (peers - linked));
    linked = peers;
    const usage = (await roleUsage(mesh, usageMs)).filter(({ cluster }) => cluster === IMPORTER);
    results.push({ peers, linkedMs, usage });
    say(`${peers} peers: ${JSON.stringify({ linkedMs, usage })}`);
  }
  return results;
}

/** What a join leaves with the side that was joined. */
async function link({ kube }: FederationWorld, account: PeerAccount): Promise<void> {
  const { cluster, fingerprint, linkSecret } = account;
  const trustDomain = defaultTrustDomain(cluster);
  const x509Authorities = [new Uint8Array(Buffer.from(account.root, "base64"))];
  const gateways = [{ host: "127.0.0.1", relayPort: PORTS.relay, federationPort: PORTS.federation, zone: "" }];
  const secret = joinedSecret(cluster, {
    linkSecret: new Uint8Array(Buffer.from(linkSecret, "base64")),
    bundle: { trustDomain, cluster, sequence: 1n, x509Authorities },
    gateways,
    epoch: EPOCH,
    joinedBy: "0000000000000000",
  });
  await kube[IMPORTER].create(SECRETS, secret);
  await kube[IMPORTER].create<Link>(LINKS, {
    apiVersion: "causeway.dev/v1alpha1",
    kind: "Link",
    metadata: { name: cluster },
    spec: {
      ...{ cluster, trustDomain, gateways, rootFingerprint: fingerprint, dial: false, import: true, export: true },
      secretName: linkSecretName(cluster),
    },
  });
}
