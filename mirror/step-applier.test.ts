import assert from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { CONFIG_MAPS, type ConfigMap } from "../kube/resources.ts";
import { FakeKube } from "../test/support/fake-kube.ts";
import { StepApplier } from "./step-applier.ts";
import type { Step } from "./steps.ts";

function create(name: string, over: { lazy?: boolean; value?: string } = {}): Step {
  const object: ConfigMap = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "shop" },
    data: { a: over.value ?? "1" },
  };
  const { lazy } = over;
  return {
    type: CONFIG_MAPS,
    namespace: "shop",
    name,
    action: "create",
    object,
    ...(lazy === undefined ? {} : { lazy }),
  };
}

describe("StepApplier", () => {
  let kube: FakeKube;
  let clock: ManualClock;
  let applier: StepApplier;
  let changes: number;

  const names = async () => (await kube.list(CONFIG_MAPS)).map((object) => object.metadata.name);

  beforeEach(() => {
    clock = new ManualClock();
    kube = new FakeKube(clock);
    kube.seed(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "there", namespace: "shop" } });
    changes = 0;
    applier = new StepApplier({
      kube,
      clock,
      random: seededRandom(1),
      log: silentLog,
      onRefusalsChanged: () => changes++,
    });
  });

  afterEach(() => applier.close());

  it("retries what fails until the API server is back", async () => {
    kube.partition();
    applier.plan([create("a")]);
    await clock.advance(60_000);
    kube.heal();
    assert.deepEqual(await names(), ["there"]);
    await clock.advance(5_000);
    assert.deepEqual(await names(), ["there", "a"]);
  });

  it("does nothing of a former plan", async () => {
    kube.partition();
    applier.plan([create("a"), create("b")]);
    await clock.advance(100);
    applier.plan([create("b")]);
    kube.heal();
    await clock.advance(10_000);
    assert.deepEqual(await names(), ["there", "b"]);
  });

  it("keeps what is refused as invalid on record until it goes through or is not planned any more", async () => {
    kube.intercept = (call, object) => {
      if (call.verb === "create" && (object as ConfigMap).data?.["a"] === "bad")
        throw new MeshError("KUBE_INVALID", "no");
    };
    applier.plan([create("a", { value: "bad" }), create("b", { value: "bad" })]);
    await clock.advance(10_000);
    assert.deepEqual([applier.refusals.size, changes], [2, 2]);
    applier.plan([create("a", { value: "good" })]);
    await clock.advance(0);
    assert.deepEqual([applier.refusals.size, changes], [0, 4]);
    assert.deepEqual(await names(), ["there", "a"]);
  });

  it("does lazy steps one after the other and urgent ones at once", async () => {
    applier.plan([create("a", { lazy: true }), create("b", { lazy: true }), create("c"), create("d")]);
    await clock.advance(0);
    assert.deepEqual((await names()).sort(), ["a", "c", "d", "there"]);
    await clock.advance(50);
    assert.ok((await names()).includes("b"));
  });

  it("edits what is there now, not what was when it was planned", async () => {
    const edit = (current: { metadata: { labels?: Record<string, string> } }) => ({
      ...current,
      metadata: { ...current.metadata, labels: { ...current.metadata.labels, mine: "x" } },
    });
    const step: Step = {
      type: CONFIG_MAPS,
      namespace: "shop",
      name: "there",
      action: "edit",
      part: "object",
      what: "label",
      edit: edit as never,
    };
    kube.partition();
    applier.plan([step]);
    await clock.advance(10);
    kube.heal();
    await kube.mergePatch(CONFIG_MAPS, "there", "shop", { metadata: { labels: { theirs: "y" } } });
    await clock.advance(5_000);
    assert.deepEqual((await kube.get(CONFIG_MAPS, "there", "shop"))?.metadata.labels, { theirs: "y", mine: "x" });
  });
});
