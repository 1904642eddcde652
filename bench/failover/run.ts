import { systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { errorText } from "../../core/errors.ts";
import { type Sample, Traffic } from "../../drills/traffic.ts";
import { LocalMesh, reached } from "../../test/support/local-mesh.ts";
import { type FailoverCase, LOCAL, pause, REMOTE, startFailoverMesh } from "./cases.ts";
import { analyseRepetition, type Repetition } from "./results.ts";

const URL_GET = "http://web.shop.svc.clusterset.local/?whoami";
const GETS_PER_SECOND = 500;
const POSTS_PER_SECOND = 50;
const BEFORE_MS = 1_000;
/** So long after a fault its traces are looked for. */
const AFTER_MS = 500;
/** Answers in a row, at so many a second, that must be the right cluster's before a repetition. */
const SETTLED = 150;
const SETTLE_PER_SECOND = 150;
const SETTLE_MS = 60_000;
/** Processes that have only just started compile what they run: to each cluster so much traffic first, not counted. */
const WARM_MS = 3_000;

/** What came of a case. */
export interface Measured {
  readonly name: string;
  readonly repetitions: readonly Repetition[];
}

/**
 * Measures each case so many times, one after the other, on clusters of their own. A case that cannot go on keeps what
 * it has, and the next one begins.
 */
export async function measureFailover(
  cases: readonly FailoverCase[],
  repetitions: number,
  say: (line: string) => void,
): Promise<Measured[]> {
  const found: Measured[] = [];
  for (const gateways of new Set(cases.map((one) => one.gateways ?? 1))) {
    const these = cases.filter((one) => (one.gateways ?? 1) === gateways);
    say(`starting two clusters${gateways > 1 ? `, ${gateways} gateways each` : ""}`);
    const mesh = await startFailoverMesh((env) => LocalMesh.start({ env, gateways }));
    try {
      await warm(mesh);
      for (const one of these) found.push({ name: one.name, repetitions: await measure(mesh, one, repetitions, say) });
    } finally {
      await mesh.stop();
    }
  }
  const order = cases.map(({ name }) => name);
  return found.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
}

async function warm(mesh: LocalMesh): Promise<void> {
  const proxy = { host: await mesh.podAddress(LOCAL, "client"), port: PORTS.outbound };
  for (const cluster of [REMOTE, LOCAL]) {
    const headers = { "x-causeway-prefer": cluster };
    const options = { url: URL_GET, proxy, timeoutMs: 20_000, headers, perSecond: GETS_PER_SECOND };
    const traffic = new Traffic(options, systemClock);
    traffic.start();
    await pause(WARM_MS);
    await traffic.stop();
  }
}

async function measure(
  mesh: LocalMesh,
  one: FailoverCase,
  repetitions: number,
  say: (line: string) => void,
): Promise<Repetition[]> {
  const preferred = one.first === LOCAL ? `${LOCAL},${REMOTE}` : `${REMOTE},${LOCAL}`;
  const all: Repetition[] = [];
  try {
    await mesh.meshOutput("failover", "set", "--service", "shop/web", "--mode", "priority", "--prefer", preferred);
    for (let i = 0; i < repetitions; i++) {
      const startMs = systemClock.nowMs();
      const found = await repeat(mesh, one);
      all.push(found);
      const tookMs = Math.round(systemClock.nowMs() - startMs);
      const failures = [...new Set(found.failures)].slice(0, 3);
      say(`${one.name}, ${i + 1} of ${repetitions}: ${JSON.stringify({ ...found, failures, tookMs })}`);
    }
  } catch (error) {
    say(`${one.name} ends after ${all.length} of ${repetitions}: ${errorText(error)}`);
    await one.heal(mesh).catch(() => {});
  } finally {
    await one.end?.();
  }
  return all;
}

/** Traffic until all of it is answered by whom it should be, the fault, its end. */
async function repeat(mesh: LocalMesh, one: FailoverCase): Promise<Repetition> {
  const proxy = { host: await mesh.podAddress(LOCAL, "client"), port: PORTS.outbound };
  const common = { url: URL_GET, proxy, timeoutMs: 20_000, headers: {} };
  await one.prepare?.(mesh);
  await settled(common, one.first);
  await one.aim?.(mesh);
  const gets = new Traffic({ ...common, perSecond: GETS_PER_SECOND }, systemClock);
  const posts = new Traffic({ ...common, perSecond: POSTS_PER_SECOND, post: "a body of a few bytes" }, systemClock);
  gets.start();
  posts.start();
  let faultMs = 0;
  let endMs = 0;
  try {
    await pause(BEFORE_MS);
    faultMs = systemClock.nowMs();
    try {
      await one.inject(mesh);
      await pause(one.holdMs);
    } finally {
      endMs = systemClock.nowMs();
      await one.heal(mesh);
    }
    await pause(AFTER_MS);
  } finally {
    await Promise.all([gets.stop(), posts.stop()]);
  }
  const { detectedBy, first } = one;
  return analyseRepetition(gets.samples, posts.samples, { faultMs, endMs, detectedBy, lost: first });
}

/** Gentle traffic until `cluster` answers all of it, so that its ramps have come to their end. */
async function settled(
  common: Omit<ConstructorParameters<typeof Traffic>[0], "perSecond">,
  cluster: string,
): Promise<void> {
  const traffic = new Traffic({ ...common, perSecond: SETTLE_PER_SECOND }, systemClock);
  traffic.start();
  const good = (sample: Sample) => sample.error === "" && sample.cluster === cluster;
  try {
    await reached(
      `${cluster} answers all`,
      () => traffic.samples.length >= SETTLED && traffic.samples.slice(-SETTLED).every(good),
      SETTLE_MS,
    );
  } finally {
    await traffic.stop();
  }
}
