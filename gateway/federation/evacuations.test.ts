import assert from "node:assert/strict";
import { ManualClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { EVACUATIONS, type Evacuation } from "../../kube/resources.ts";
import { FakeKube } from "../../test/support/fake-kube.ts";
import { Evacuations } from "./evacuations.ts";

describe("Evacuations", () => {
  let clock: ManualClock;
  let kube: FakeKube;
  let stored: ReadonlyMap<string, string> | undefined;
  let abort: AbortController;
  let evacuations: Evacuations;

  beforeEach(async () => {
    clock = new ManualClock();
    kube = new FakeKube(clock);
    stored = undefined;
    abort = new AbortController();
    evacuations = await started();
  });

  afterEach(() => {
    evacuations.close();
    abort.abort();
  });

  async function started(): Promise<Evacuations> {
    const writer = {
      replacePrefix: (_: string, values: ReadonlyMap<string, string>) => {
        stored = values;
      },
    };
    const made = new Evacuations({ cluster: "west", kube, writer, clock, log: silentLog });
    await made.start(abort.signal);
    return made;
  }

  const seed = (name: string, spec: Evacuation["spec"]) =>
    kube.seed<Evacuation>(EVACUATIONS, {
      apiVersion: "causeway.dev/v1alpha1",
      kind: "Evacuation",
      metadata: { name },
      spec: { since: new Date(clock.wallMs()).toISOString(), ...spec },
    });

  it("moves in steps, tells each once, and stores the own share alone", async () => {
    const seen: number[] = [];
    evacuations.onChange(() => seen.push(evacuations.share("west")));
    seed("west", { over: "10s" });
    await clock.advance(4_900);
    assert.ok(Math.abs(evacuations.share("west") - 0.5) < 0.06, String(evacuations.share("west")));
    await clock.advance(6_000);
    assert.equal(evacuations.share("west"), 1);
    assert.ok(seen.length >= 18 && seen.length <= 20, String(seen.length));
    assert.deepEqual([...(stored ?? [])], [["local/drain/west", '{"share":1}']]);
    seed("east", { over: "0s" });
    await clock.advance(0);
    assert.deepEqual([evacuations.share("east"), stored?.size], [1, 1]);
    assert.equal((await kube.get<Evacuation>(EVACUATIONS, "east"))?.status?.drained, 1);
  });

  it("comes to the same after a restart in the middle", async () => {
    seed("west", { over: "10s" });
    await clock.advance(5_000);
    const before = evacuations.share("west");
    const again = await started();
    assert.equal(again.share("west"), before);
    await clock.advance(5_000);
    assert.equal(again.share("west"), 1);
    again.close();
  });

  it("brings the traffic back from where it was, and forgets the intent then", async () => {
    seed("west", { evacuate: false, from: 0.5, over: "10s" });
    await clock.advance(0);
    assert.equal(evacuations.share("west"), 0.5);
    await clock.advance(9_000);
    assert.ok(evacuations.share("west") > 0);
    assert.ok(await kube.get(EVACUATIONS, "west"));
    await clock.advance(2_000);
    assert.equal(evacuations.share("west"), 0);
    assert.equal(await kube.get(EVACUATIONS, "west"), undefined);
    assert.equal(stored?.size, 0);
  });
});
