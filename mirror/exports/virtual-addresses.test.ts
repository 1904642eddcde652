import assert from "node:assert/strict";
import { LABELS } from "../../core/defaults.ts";
import type { KubeService } from "../../kube/resources.ts";
import { kubeService } from "../../test/support/mirror-world.ts";
import { VirtualAddresses } from "./virtual-addresses.ts";

function service(name: string, labels: Record<string, string>, ...ips: string[]): KubeService {
  const [clusterIP = "None"] = ips;
  const metadata = { name, namespace: "shop", labels: { [LABELS.managedBy]: LABELS.managedByValue, ...labels } };
  return kubeService("shop", name, { metadata, spec: { clusterIP, clusterIPs: ips } });
}

const mirrorLabels = { [LABELS.originCluster]: "east", [LABELS.originService]: "web" };

describe("VirtualAddresses", () => {
  let stored: Map<string, string>;
  let addresses: VirtualAddresses;
  const known = () => [...stored].map(([key, value]) => `${key} ${value}`).sort();

  beforeEach(() => {
    stored = new Map([["local/vip/10.0.0.99", "left over"]]);
    addresses = new VirtualAddresses({
      set: (key, value) => stored.set(key, value),
      delete: (key) => stored.delete(key),
      replacePrefix(prefix, entries) {
        assert.equal(prefix, "local/vip/");
        stored = new Map(entries);
      },
    });
  });

  it("says mirrors by their own name, derived Services by the name they are for, and no others", () => {
    addresses.replace([
      service("web-east", mirrorLabels, "10.0.0.1", "FD00::0:1"),
      service("derived-1", { [LABELS.derivedFor]: "web" }, "10.0.0.2"),
      service("headless-east", mirrorLabels),
      kubeService("shop", "web"),
    ]);
    assert.deepEqual(known(), [
      'local/vip/10.0.0.1 {"of":"service","namespace":"shop","name":"web-east"}',
      'local/vip/10.0.0.2 {"of":"clusterset","namespace":"shop","name":"web"}',
      'local/vip/fd00::1 {"of":"service","namespace":"shop","name":"web-east"}',
    ]);
  });

  it("follows changes, and keeps an address that has gone over to another Service", () => {
    addresses.replace([]);
    addresses.update("shop/web-east", service("web-east", mirrorLabels, "10.0.0.1"));
    addresses.update("shop/db-east", service("db-east", { ...mirrorLabels, [LABELS.originService]: "db" }, "10.0.0.1"));
    addresses.update("shop/web-east", undefined);
    assert.deepEqual(known(), ['local/vip/10.0.0.1 {"of":"service","namespace":"shop","name":"db-east"}']);
    addresses.update("shop/db-east", service("db-east", mirrorLabels, "10.0.0.3"));
    assert.equal(known().length, 1);
    addresses.update("shop/db-east", kubeService("shop", "db-east"));
    assert.deepEqual(known(), []);
  });
});
