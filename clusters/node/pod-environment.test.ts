import assert from "node:assert/strict";
import { SETTINGS } from "../../core/defaults.ts";
import type { Pod, PodContainer } from "../../kube/resources.ts";
import { containerEnvironment } from "./pod-environment.ts";

describe("containerEnvironment()", () => {
  const container = { name: "web", image: "web", ports: [{ containerPort: 8080 }] } as PodContainer;
  const place = { cluster: "east", node: "n", podIp: "127.10.0.9", meshed: true };
  const pod = (annotation: string): Pod =>
    ({
      metadata: { name: "web-1", namespace: "shop", annotations: { [SETTINGS.appSocket]: annotation } },
    }) as unknown as Pod;

  it("says where an app of the mesh listens beside TCP, where its pod names a unix socket for its port", () => {
    const env = (annotation: string, meshed = true) =>
      containerEnvironment(pod(annotation), container, { ...place, meshed }, {})["APP_SOCKET"];
    assert.equal(env("80=/a, 8080=/run/$(POD_NAME).sock"), "/run/web-1.sock");
    assert.equal(env("80=/a"), undefined);
    assert.equal(env("8080=relative"), undefined);
    assert.equal(env("8080=/a", false), undefined);
  });
});
