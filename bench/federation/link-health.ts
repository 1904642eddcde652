import { signalRecord } from "../../clusters/process-record.ts";
import { CLUSTER_DOMAIN, PORTS, SYSTEM_NAMESPACE, TOKEN_AUDIENCE } from "../../core/defaults.ts";
import { PEER_LINKS, stateKey } from "../../registry/state.ts";
import type { FederationLoad } from "./federation-load.ts";
import { watchChanges } from "./first-sync.ts";
import type { SeenState } from "./load-commands.ts";
import { serviceName } from "./many-services.ts";
import { pause, revisionMs } from "./propagation.ts";
import { type HealthResult, spreadOf } from "./results.ts";
import { EXPORTER, type FederationWorld, IMPORTER, NAMESPACE } from "./world.ts";

const ROUNDS = 5;
/** Long enough to be called dead, and to be called alive again and get some of the traffic back. */
const SILENT_MS = 1_600;
const HEARD_MS = 3_000;
const SUBSCRIBED = 5;
const SETTLE_MS = 1_000;

interface Written {
  readonly health: string;
  readonly ramp: number;
  readonly atMs: number;
}

/**
 * Stops and continues the exporter's gateway under so many discovery streams of the importer's control, and takes the
 * time of each change of the link's health from its write in the registry to the last stream's.
 */
export async function measureLinkHealth(
  world: FederationWorld,
  load: FederationLoad,
  proxies: number,
): Promise<HealthResult> {
  const { mesh } = world;
  const root = await mesh.kubectl(
    IMPORTER,
    ...["-n", SYSTEM_NAMESPACE, "get", "configmap", "causeway-trust", "-o", "jsonpath={.data.root\\.crt}"],
  );
  const audience = ["--audience", TOKEN_AUDIENCE];
  const token = (await mesh.kubectl(IMPORTER, "-n", NAMESPACE, "create", "token", "client", ...audience)).trim();
  const authorities = Array.from(
    { length: SUBSCRIBED },
    (_, i) => `${serviceName(i)}-${EXPORTER}.${NAMESPACE}.svc.${CLUSTER_DOMAIN}`,
  );
  await load.ask({
    kind: "proxies",
    count: proxies,
    address: `${mesh.layout(IMPORTER).control}:${PORTS.control}`,
    ...{ cluster: IMPORTER, namespace: NAMESPACE, serviceAccount: "client", root, token, authorities },
    link: EXPORTER,
  });
  const written: Written[] = [];
  const watching = watchChanges(world, IMPORTER, ({ key, value, revision }) => {
    if (key !== stateKey(PEER_LINKS, EXPORTER) || value === undefined) return;
    const { health, ramp } = PEER_LINKS.decode(value);
    const last = written.at(-1);
    if (last?.health !== health || last.ramp !== ramp) written.push({ health, ramp, atMs: revisionMs(revision) });
  });
  try {
    await watching.ready;
    await load.ask({ kind: "seen" });
    for (let round = 0; round < ROUNDS; round++) {
      for (const [signal, forMs] of [["SIGSTOP", SILENT_MS] as const, ["SIGCONT", HEARD_MS] as const]) {
        const record = mesh.record(EXPORTER, "gateway");
        if (record !== undefined) signalRecord(record, signal);
        await pause(forMs);
      }
    }
    await pause(SETTLE_MS);
  } finally {
    const record = mesh.record(EXPORTER, "gateway");
    if (record !== undefined) signalRecord(record, "SIGCONT");
    await watching.stop();
  }
  const { states } = await load.ask({ kind: "seen" });
  const delays = delaysOf(written, states, proxies);
  return { proxies, changes: delays.length, missed: written.length - delays.length, last: spreadOf(delays) };
}

/** Of every change that reached all streams, how long it took to the last; one that was overtaken by the next has none. */
function delaysOf(written: readonly Written[], seen: readonly SeenState[], proxies: number): number[] {
  const left = [...seen];
  return written.flatMap(({ health, ramp, atMs }) => {
    const name = `HEALTH_${health.toUpperCase()}`;
    const same = (s: SeenState) => s.health === name && Math.abs(s.ramp - ramp) < 1e-6 && s.lastMs >= atMs;
    const found = left.findIndex((state) => same(state) && state.streams === proxies);
    const [state] = found < 0 ? [] : left.splice(found, 1);
    return state === undefined ? [] : [state.lastMs - atMs];
  });
}
