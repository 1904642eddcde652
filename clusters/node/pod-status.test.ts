import assert from "node:assert/strict";
import { describe, it } from "mocha";
import type { Pod, PodContainer } from "../../kube/resources.ts";
import type { ContainerState } from "./container.ts";
import { shownLine } from "./log-file.ts";
import { containerEnvironment } from "./pod-environment.ts";
import { type ContainerView, podStatus } from "./pod-status.ts";

const running: ContainerState = { kind: "running", startedAtMs: 1_000, pid: 1 };
const ended = (exitCode: number): ContainerState => ({
  kind: "terminated",
  exitCode,
  signal: "",
  startedAtMs: 1_000,
  finishedAtMs: 2_000,
});

function view(state: ContainerState, extra: Partial<ContainerView> = {}, sidecarReady = true) {
  const container = {
    name: "web",
    image: "x:1",
    state,
    lastState: undefined,
    restarts: 0,
    ready: state.kind === "running",
    ...extra,
  };
  return { podIp: "127.10.1.1", hostIp: "127.10.0.6", startedAtMs: 0, containers: [container], sidecarReady };
}

const readyOf = (status: Pod["status"]) => status?.conditions?.find((c) => c.type === "Ready");

describe("podStatus()", () => {
  it("is Running and Ready when containers and sidecar are", () => {
    const status = podStatus(view(running), undefined, 5_000);
    assert.equal(status.phase, "Running");
    assert.equal(readyOf(status)?.status, "True");
  });

  it("is not Ready while the sidecar is not, and names what is missing", () => {
    const ready = readyOf(podStatus(view(running, {}, false), undefined, 5_000));
    assert.equal(ready?.status, "False");
    assert.match(ready?.message ?? "", /causeway-proxy/);
  });

  it("keeps the transition time of what did not change", () => {
    const first = podStatus(view(running), undefined, 5_000);
    const second = podStatus(view(running), first, 9_000);
    assert.equal(readyOf(second)?.lastTransitionTime, readyOf(first)?.lastTransitionTime);
    const third = podStatus(view(running, { ready: false }), second, 9_000);
    assert.notEqual(readyOf(third)?.lastTransitionTime, readyOf(first)?.lastTransitionTime);
  });

  it("ends Succeeded or Failed by exit codes, and stays Running through a crash loop", () => {
    assert.equal(podStatus(view(ended(0)), undefined, 0).phase, "Succeeded");
    assert.equal(podStatus(view(ended(3)), undefined, 0).phase, "Failed");
    const waiting: ContainerState = { kind: "waiting", reason: "CrashLoopBackOff", message: "" };
    assert.equal(podStatus(view(waiting, { restarts: 2, lastState: ended(1) }), undefined, 0).phase, "Running");
    assert.equal(podStatus(view(waiting), undefined, 0).phase, "Pending");
  });
});

describe("containerEnvironment()", () => {
  const container: PodContainer = {
    name: "web",
    image: "x:1",
    ports: [{ containerPort: 8080 }],
    env: [
      { name: "GREETING", value: "hello $(POD_NAME)" },
      { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
      { name: "APP", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
    ],
  };
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", namespace: "shop", labels: { app: "web" } },
  };
  const place = { cluster: "east", node: "east-node", podIp: "127.10.1.1", meshed: true };

  it("says where to listen, resolves references, and sends calls through the sidecar", () => {
    const env = containerEnvironment(pod, container, place, { PATH: "/bin", SECRET: "x" });
    assert.deepEqual(
      [env["HOST"], env["PORT"], env["GREETING"], env["NODE"], env["APP"], env["PATH"]],
      ["127.10.1.1", "8080", "hello web-1", "east-node", "web", "/bin"],
    );
    assert.equal(env["http_proxy"], "http://127.10.1.1:4140");
  });

  it("lets nothing else of this machine's environment in, and sets no proxy without a sidecar", () => {
    const env = containerEnvironment(pod, container, { ...place, meshed: false }, { PATH: "/bin", SECRET: "x" });
    assert.equal(env["SECRET"], undefined);
    assert.equal(env["http_proxy"], undefined);
  });
});

describe("shownLine()", () => {
  it("shows the text, with its time where asked for", () => {
    const line = "2026-01-02T03:04:05.006Z stdout F a line";
    assert.equal(shownLine(line, false), "a line");
    assert.equal(shownLine(line, true), "2026-01-02T03:04:05.006Z a line");
  });
});
