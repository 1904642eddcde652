import { systemClock } from "../../core/clock.ts";
import { PORTS } from "../../core/defaults.ts";
import { type Sample, Traffic } from "../../drills/traffic.ts";
import { LocalMesh, reached } from "../../test/support/local-mesh.ts";
import { type FailoverCase, LOCAL, REMOTE, startFailoverMesh } from "./cases.ts";
import { analyseRepetition, type CaseResult, type Repetition, summarise } from "./results.ts";

const URL_GET = "http://web.shop.svc.clusterset.local/?whoami";
const GETS_PER_SECOND = 500;
const POSTS_PER_SECOND = 50;
const BEFORE_MS = 1_500;
/** So long after a fault its traces are looked for. */
const AFTER_MS = 1_500;
const SETTLED = 300;
const SETTLE_MS = 180_000;

/** Measures each case so many times, one after the other, on clusters of their own. */
export async function measureFailover(
  cases: readonly FailoverCase[],
  repetitions: number,
  say: (line: string) => void,
): Promise<CaseResult[]> {
  if (cases.length === 0) return [];
  say("starting two clusters");
  const mesh = await startFailoverMesh((env) => LocalMesh.start({ env }));
  const results: CaseResult[] = [];
  try {
    for (const one of cases) {
      const preferred = one.first === LOCAL ? `${LOCAL},${REMOTE}` : `${REMOTE},${LOCAL}`;
      await mesh.meshOutput("failover", "set", "--service", "shop/web", "--mode", "priority", "--prefer", preferred);
      const all: Repetition[] = [];
      for (let i = 0; i < repetitions; i++) {
        const found = await repeat(mesh, one);
        all.push(found);
        say(
          `${one.name}, ${i + 1} of ${repetitions}: ${JSON.stringify({ ...found, failures: found.failures.length })}`,
        );
      }
      results.push(summarise(one.name, all));
    }
  } finally {
    for (const one of cases) await one.heal(mesh).catch(() => {});
    await mesh.stop();
  }
  return results;
}

/** Traffic until all of it is answered by whom it should be, the fault, its end. */
async function repeat(mesh: LocalMesh, one: FailoverCase): Promise<Repetition> {
  const proxy = { host: await mesh.podAddress(LOCAL, "client"), port: PORTS.outbound };
  const common = { url: URL_GET, proxy, timeoutMs: 20_000, headers: {} };
  await settled(common, one.first);
  const gets = new Traffic({ ...common, perSecond: GETS_PER_SECOND }, systemClock);
  const posts = new Traffic({ ...common, perSecond: POSTS_PER_SECOND, post: "a body of a few bytes" }, systemClock);
  gets.start();
  posts.start();
  let faultMs = 0;
  try {
    await one.prepare?.(mesh);
    await pause(BEFORE_MS);
    faultMs = systemClock.nowMs();
    try {
      await one.inject(mesh);
      await pause(one.holdMs);
    } finally {
      await one.heal(mesh);
    }
    await pause(AFTER_MS);
  } finally {
    await Promise.all([gets.stop(), posts.stop()]);
  }
  const lost = one.moves ? one.first : undefined;
  return analyseRepetition(gets.samples, posts.samples, { faultMs, endMs: systemClock.nowMs(), lost });
}

/** Gentle traffic until `cluster` answers all of it, so that its ramps have come to their end. */
async function settled(
  common: Omit<ConstructorParameters<typeof Traffic>[0], "perSecond">,
  cluster: string,
): Promise<void> {
  const traffic = new Traffic({ ...common, perSecond: 100 }, systemClock);
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
