import type { Pod } from "../../kube/resources.ts";
import type { ContainerState } from "./container.ts";

/** A container as the status shows it. */
export interface ContainerView {
  readonly name: string;
  readonly image: string;
  readonly state: ContainerState;
  readonly lastState: ContainerState | undefined;
  readonly restarts: number;
  readonly ready: boolean;
}

export interface PodView {
  readonly podIp: string;
  readonly hostIp: string;
  readonly startedAtMs: number;
  readonly containers: readonly ContainerView[];
  /** The sidecar, where there is one, is up. */
  readonly sidecarReady: boolean;
}

const iso = (ms: number) => new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z");

function stateOf(state: ContainerState): object {
  switch (state.kind) {
    case "waiting":
      return { waiting: { reason: state.reason, ...(state.message === "" ? {} : { message: state.message }) } };
    case "running":
      return { running: { startedAt: iso(state.startedAtMs) } };
    case "terminated": {
      const { exitCode, startedAtMs, finishedAtMs } = state;
      const reason = exitCode === 0 ? "Completed" : "Error";
      return { terminated: { exitCode, reason, startedAt: iso(startedAtMs), finishedAt: iso(finishedAtMs) } };
    }
    default:
      return state satisfies never;
  }
}

function phaseOf(containers: readonly ContainerView[]): string {
  const states = containers.map((c) => c.state);
  if (states.every((s) => s.kind === "terminated")) {
    return states.every((s) => s.kind === "terminated" && s.exitCode === 0) ? "Succeeded" : "Failed";
  }
  return states.some((s) => s.kind === "running") || containers.some((c) => c.restarts > 0) ? "Running" : "Pending";
}

/** The status of a Pod (core/v1 PodStatus) for what its processes do; transition times are kept where nothing changed. */
export function podStatus(view: PodView, before: Pod["status"], nowMs: number): NonNullable<Pod["status"]> {
  const notReady = view.containers.filter((c) => !c.ready).map((c) => c.name);
  if (!view.sidecarReady) notReady.push("causeway-proxy");
  const ready = notReady.length === 0;
  const message = `containers with unready status: [${notReady.join(" ")}]`;
  const condition = (type: string, status: boolean) => {
    const text = status ? "True" : "False";
    const known = before?.conditions?.find((c) => c.type === type);
    const lastTransitionTime = known?.status === text ? (known.lastTransitionTime ?? iso(nowMs)) : iso(nowMs);
    return { type, status: text, lastTransitionTime, ...(status ? {} : { reason: "ContainersNotReady", message }) };
  };
  return {
    phase: phaseOf(view.containers),
    conditions: [
      ...(before?.conditions?.filter((c) => c.type === "PodScheduled") ?? []),
      condition("Initialized", true),
      condition("ContainersReady", ready),
      condition("Ready", ready),
    ],
    hostIP: view.hostIp,
    podIP: view.podIp,
    ...({ podIPs: [{ ip: view.podIp }], qosClass: "BestEffort" } as object),
    startTime: iso(view.startedAtMs),
    containerStatuses: view.containers.map((c) => ({
      name: c.name,
      image: c.image,
      imageID: c.image,
      ready: c.ready,
      started: c.state.kind === "running",
      restartCount: c.restarts,
      state: stateOf(c.state),
      lastState: c.lastState === undefined ? {} : stateOf(c.lastState),
    })),
  };
}
