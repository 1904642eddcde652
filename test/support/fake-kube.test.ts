import assert from "node:assert/strict";
import { hasCode } from "../../core/errors.ts";
import {
  CONFIG_MAPS,
  type ConfigMap,
  type KubeService,
  LINKS,
  type Link,
  NAMESPACES,
  SERVICES,
} from "../../kube/resources.ts";
import { FakeKube } from "./fake-kube.ts";
import { kubeService, linkTo } from "./mirror-world.ts";

function configMap(name: string, over: Partial<ConfigMap["metadata"]> = {}): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "shop", ...over }, data: { a: "1" } };
}

describe("FakeKube", () => {
  let kube: FakeKube;
  beforeEach(() => {
    kube = new FakeKube();
    kube.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  });

  it("refuses what exists, what has changed meanwhile, and namespaces that do not exist", async () => {
    const made = await kube.create(CONFIG_MAPS, configMap("x"));
    await assert.rejects(kube.create(CONFIG_MAPS, configMap("x")), (error) => hasCode(error, "KUBE_CONFLICT"));
    await kube.replace(CONFIG_MAPS, { ...made, data: { a: "2" } });
    await assert.rejects(kube.replace(CONFIG_MAPS, made), (error) => hasCode(error, "KUBE_CONFLICT"));
    const elsewhere = configMap("x", { namespace: "absent" });
    await assert.rejects(kube.create(CONFIG_MAPS, elsewhere), (error) => hasCode(error, "KUBE_NOT_FOUND"));
  });

  it("keeps status and spec apart", async () => {
    await kube.create(LINKS, { ...linkTo("east"), status: { phase: "active" } });
    assert.equal((await kube.get<Link>(LINKS, "east"))?.status, undefined);
    await kube.mergePatchStatus(LINKS, "east", undefined, { spec: { dial: false }, status: { phase: "dead" } });
    await kube.mergePatch(LINKS, "east", undefined, { spec: { import: false }, status: { phase: "x" } });
    const link = await kube.get<Link>(LINKS, "east");
    assert.deepEqual(
      [link?.spec.dial, link?.spec.import, link?.status?.phase, link?.metadata.generation],
      [true, false, "dead", 2],
    );
  });

  it("holds deletion back for finalizers, and collects what the deleted owned", async () => {
    const owner = await kube.create(CONFIG_MAPS, configMap("owner", { finalizers: ["x/y"] }));
    const ownerReferences = [{ apiVersion: "v1", kind: "ConfigMap", name: "owner", uid: owner.metadata.uid ?? "" }];
    await kube.create(CONFIG_MAPS, configMap("owned", { ownerReferences }));
    assert.equal(await kube.delete(CONFIG_MAPS, "owner", "shop"), true);
    assert.ok((await kube.get(CONFIG_MAPS, "owner", "shop"))?.metadata.deletionTimestamp);
    await kube.mergePatch(CONFIG_MAPS, "owner", "shop", { metadata: { finalizers: [] } });
    assert.equal(await kube.get(CONFIG_MAPS, "owner", "shop"), undefined);
    assert.equal(await kube.get(CONFIG_MAPS, "owned", "shop"), undefined);
    assert.equal(await kube.delete(CONFIG_MAPS, "owner", "shop"), false);
  });

  it("gives Services addresses, and empties a namespace that goes", async () => {
    const { apiVersion, kind, metadata } = kubeService("shop", "web");
    const made = await kube.create<KubeService>(SERVICES, { apiVersion, kind, metadata });
    assert.match(made.spec?.clusterIP ?? "", /^10\.96\./);
    await kube.delete(NAMESPACES, "shop");
    await Promise.resolve();
    assert.deepEqual(await kube.list(SERVICES), []);
  });

  it("tells informers in order what matches, holds back while partitioned, and catches up", async () => {
    const stop = new AbortController();
    const informer = kube.informer<ConfigMap>(CONFIG_MAPS, { labelSelector: "app in (a, b),!hidden" });
    const events: string[] = [];
    informer.onEvent(({ type, object }) => events.push(`${type} ${object.metadata.name}`));
    await informer.start(stop.signal);
    await kube.create(CONFIG_MAPS, configMap("x", { labels: { app: "a" } }));
    await kube.create(CONFIG_MAPS, configMap("y", { labels: { app: "c" } }));
    await kube.create(CONFIG_MAPS, configMap("z", { labels: { app: "a", hidden: "" } }));
    await Promise.resolve();
    assert.deepEqual(events, ["set x"]);
    kube.partition();
    await assert.rejects(kube.list(CONFIG_MAPS), (error) => hasCode(error, "CLUSTER_UNREACHABLE"));
    kube.unseed(CONFIG_MAPS, "x", "shop");
    assert.equal(informer.list().length, 1);
    kube.heal();
    assert.deepEqual(events, ["set x", "delete x"]);
    stop.abort();
  });
});
