import { mkdirSync } from "node:fs";
import { FederationLoad } from "./federation-load.ts";
import { exportsKnown, measureFirstSync, measureRestarts, unlink } from "./first-sync.ts";
import { measureLinkHealth } from "./link-health.ts";
import { measurePeers } from "./many-peers.ts";
import { createServices } from "./many-services.ts";
import { measurePropagation } from "./propagation.ts";
import { type FederationResult, propagationOf, type SizeResult } from "./results.ts";
import { roleUsage } from "./role-usage.ts";
import { EXPORTER, type FederationWorld, startWorld } from "./world.ts";

const PARTS = ["propagation", "restart", "usage", "health", "peers"] as const;
type FederationPart = (typeof PARTS)[number];

/** What `--only` names: all without. @throws Error for what is no part */
export function federationParts(only: string | undefined): ReadonlySet<FederationPart> {
  const names: readonly string[] = only?.split(",") ?? PARTS;
  const parts = PARTS.filter((part) => names.includes(part));
  if (parts.length < names.length) throw new Error(`--only wants some of ${PARTS.join(",")}`);
  return new Set(parts);
}

export interface FederationOptions {
  readonly parts: ReadonlySet<FederationPart>;
  /** Mirrored services, ascending. */
  readonly services: readonly number[];
  /** Simulated peers beside the exporter, ascending. */
  readonly peers: readonly number[];
  readonly changes: number;
  /** Folder for CPU profiles of all processes of both clusters. */
  readonly profile?: string;
}

const USAGE_MS = 5_000;
/** Discovery streams. */
const PROXIES = 1_000;
const PROFILER = new URL("profile.mjs", import.meta.url).href;

/** Measures one size after the other, each with a first sync of its own, on one pair of clusters. */
export async function measureFederation(
  options: FederationOptions,
  say: (line: string) => void,
): Promise<FederationResult> {
  say("starting two clusters");
  const { profile, parts } = options;
  // No sync is spoilt by the flap damping of the restarts before it.
  const env = { MESH_LINK_HEALTH: "forgive=1s" };
  const flags = profile === undefined ? {} : { NODE_OPTIONS: `--import ${PROFILER}`, BENCH_PROFILE_FOLDER: profile };
  if (profile !== undefined) mkdirSync(profile, { recursive: true });
  const world = await startWorld({ ...env, ...flags });
  let load = new FederationLoad();
  try {
    const sizes: SizeResult[] = [];
    let made = 0;
    for (const services of options.services) {
      if (sizes.length > 0) await unlink(world);
      say(`creating services ${made} to ${services}`);
      await createServices(world.kube[EXPORTER], world.pods[0], made, services);
      made = services;
      await exportsKnown(world, services);
      sizes.push(await measureSize(world, services, options, say));
    }
    const health = parts.has("health") ? await measureLinkHealth(world, load, PROXIES) : undefined;
    if (health !== undefined) say(`health: ${JSON.stringify(health)}`);
    // Its streams would be work for control, and for the process that the peers share with them.
    await load.stop();
    load = new FederationLoad();
    const peerSteps = parts.has("peers") ? await measurePeers(world, load, options.peers, USAGE_MS, say) : [];
    return { sizes, peerSteps, ...(health === undefined ? {} : { health }) };
  } finally {
    await load.stop();
    await world.close();
  }
}

async function measureSize(
  world: FederationWorld,
  services: number,
  { parts, changes, profile }: FederationOptions,
  say: (line: string) => void,
): Promise<SizeResult> {
  const mark = () => profile !== undefined && markProfiles(world.mesh);
  mark();
  const firstSync = await measureFirstSync(world, services);
  say(`${services} services, first sync: ${JSON.stringify(firstSync)}`);
  const usage = parts.has("usage") ? await roleUsage(world.mesh, USAGE_MS) : [];
  for (const one of usage) say(JSON.stringify(one));
  mark();
  const propagation = parts.has("propagation") ? propagationOf(await measurePropagation(world, changes)) : undefined;
  mark();
  if (propagation !== undefined) say(`${services} services, propagation: ${JSON.stringify(propagation)}`);
  const restarts = parts.has("restart") ? await measureRestarts(world, services) : undefined;
  if (restarts !== undefined) say(`${services} services, restarts: ${JSON.stringify(restarts)}`);
  return {
    ...{ services, firstSync, usage },
    ...(propagation === undefined ? {} : { propagation }),
    ...(restarts === undefined ? {} : { restarts }),
  };
}

/** What comes from now on is a profile of its own. */
function markProfiles(mesh: FederationWorld["mesh"]): void {
  for (const cluster of mesh.clusters) {
    for (const record of mesh.records(cluster))
      if (["control", "gateway", "mirror", "apiserver"].includes(record.name)) process.kill(record.pid, "SIGUSR2");
  }
}
