import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Clock, sleep } from "../../core/clock.ts";
import { LABELS, PORTS, PROXY_CONTAINER, TOKEN_AUDIENCE } from "../../core/defaults.ts";
import { errorText, hasCode } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { KubeClient } from "../../kube/client.ts";
import { PODS, type Pod, type PodContainer } from "../../kube/resources.ts";
import { Container, type ContainerState } from "./container.ts";
import { commandOf } from "./images.ts";
import type { ContainerAccess } from "./kubelet-server.ts";
import { containerEnvironment } from "./pod-environment.ts";
import { type ContainerView, podStatus } from "./pod-status.ts";
import { type Probe, passes, Readiness } from "./probe.ts";
import type { ProcessCommand, SidecarSettings } from "./sidecar-settings.ts";

export interface PodRunnerDeps {
  readonly kube: KubeClient;
  readonly cluster: string;
  readonly node: string;
  readonly hostIp: string;
  readonly podDirectory: string;
  readonly runDirectory: string;
  readonly owner: string;
  /** The sidecar for this pod; undefined where it is not in the mesh. */
  readonly sidecar: SidecarSettings | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

interface PodContainerState {
  readonly spec: PodContainer;
  /** Absent where there is nothing to run. */
  readonly process: Container | undefined;
  readonly probe: Probe | undefined;
  readonly readiness: Readiness;
}

const TOKEN_TTL_SECONDS = 3_600;
const PROBE_MS = 50;
const READY_PROBE_MS = 1_000;
const STATUS_RETRY_MS = 200;

/** How the records of containers' processes begin. */
export const POD_RECORD = "pod-";

/** Runs one Pod: its sidecar and containers as processes, its readiness, its status, its end. */
export class PodRunner {
  readonly #deps: PodRunnerDeps;
  readonly #podIp: string;
  readonly #directory: string;
  readonly #stop = new AbortController();
  readonly #containers: PodContainerState[] = [];
  readonly #startedAtMs: number;
  #pod: Pod;
  #sidecar: Container | undefined;
  readonly #sidecarReadiness = new Readiness();
  #dirty = false;
  #writing: Promise<void> | undefined;
  #tasks: Promise<void>[] = [];
  #stopped: Promise<void> | undefined;

  constructor(pod: Pod, podIp: string, deps: PodRunnerDeps) {
    this.#pod = pod;
    this.#podIp = podIp;
    this.#deps = deps;
    this.#directory = join(deps.podDirectory, pod.metadata.uid ?? pod.metadata.name);
    this.#startedAtMs = deps.clock.wallMs();
    if (deps.sidecar === undefined) this.#sidecarReadiness.note(true);
  }

  get podIp(): string {
    return this.#podIp;
  }

  /** The newest version of the object, for status writes. */
  update(pod: Pod): void {
    this.#pod = pod;
  }

  /** Prepares the folder and the sidecar's token, then starts everything. */
  async start(): Promise<void> {
    const { sidecar } = this.#deps;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    this.#createContainers();
    if (sidecar !== undefined) {
      await this.#annotate();
      await this.#startSidecar(sidecar);
    }
    if (this.#stop.signal.aborted) return;
    for (const { process } of this.#containers) process?.start();
    this.#tasks.push(this.#watchReadiness());
    this.#changed();
  }

  /** What the kubelet server may do with a container; undefined for an unknown one. "" names the first. */
  access(container: string): ContainerAccess | undefined {
    const found = container === "" ? this.#containers[0] : this.#containers.find((c) => c.spec.name === container);
    const process = container === PROXY_CONTAINER ? this.#sidecar : found?.process;
    if (process === undefined) return undefined;
    const { env, directory } = process.spec;
    return { logPath: process.logPath, env, directory, running: process.state.kind === "running" };
  }

  /** Ends containers, then the sidecar, and removes the folder. */
  stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#end(graceMs);
    return this.#stopped;
  }

  async #end(graceMs: number): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#containers.map(async (c) => c.process?.stop(graceMs)));
    await this.#sidecar?.stop(Math.min(graceMs, 5_000));
    await Promise.all(this.#tasks);
    await this.#writing;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #createContainers(): void {
    const { cluster, node, runDirectory, owner, clock } = this.#deps;
    const place = { cluster, node, podIp: this.#podIp, meshed: this.#deps.sidecar !== undefined };
    const uid = this.#pod.metadata.uid ?? "";
    for (const spec of this.#pod.spec?.containers ?? []) {
      const command = commandOf(spec);
      const restart = (this.#pod.spec?.restartPolicy ?? "Always") as "Always" | "OnFailure" | "Never";
      const container =
        command === undefined
          ? undefined
          : new Container(
              {
                name: spec.name,
                recordName: `${POD_RECORD}${uid}-${spec.name}`,
                command,
                env: containerEnvironment(this.#pod, spec, place, process.env),
                directory: this.#directory,
                restart,
              },
              { runDirectory, owner, clock, changed: () => this.#changed() },
            );
      this.#containers.push({
        spec,
        process: container,
        probe: probeOf(spec, this.#podIp),
        readiness: new Readiness(),
      });
    }
  }

  /** Marks the pod as meshed, so that the mirror role knows its sidecar. */
  async #annotate(): Promise<void> {
    const { namespace, name } = this.#pod.metadata;
    const annotations = { [LABELS.proxyPort]: String(PORTS.inbound) };
    await this.#deps.kube.mergePatch(PODS, name, namespace, { metadata: { annotations } });
  }

  async #startSidecar(settings: SidecarSettings): Promise<void> {
    const { cluster, runDirectory, owner, clock } = this.#deps;
    const { namespace = "default", name, uid = "" } = this.#pod.metadata;
    const serviceAccount = this.#pod.spec?.serviceAccountName ?? "default";
    const tokenFile = join(this.#directory, "token");
    const expiresAtMs = await this.#writeToken(namespace, serviceAccount, tokenFile);
    this.#tasks.push(this.#renewToken(namespace, serviceAccount, tokenFile, expiresAtMs));
    const trustFile = join(this.#directory, "trust.pem");
    writeFileSync(trustFile, settings.trustPem, { mode: 0o600 });
    const command: ProcessCommand = [
      ...settings.mesh,
      "proxy",
      ...["--cluster", cluster, "--namespace", namespace, "--service-account", serviceAccount, "--pod", name],
      ...["--address", this.#podIp, "--control", settings.control, "--trust-domain", settings.trustDomain],
      ...["--trust-roots", trustFile, "--token-file", tokenFile],
      ...(settings.zone === "" ? [] : ["--zone", settings.zone]),
    ];
    const env: Record<string, string> = { PATH: process.env["PATH"] ?? "" };
    if (settings.logLevel !== undefined) env["MESH_LOG_LEVEL"] = settings.logLevel;
    if (settings.failback !== undefined) env["MESH_FAILBACK"] = settings.failback;
    this.#sidecar = new Container(
      {
        name: PROXY_CONTAINER,
        recordName: `${POD_RECORD}${uid}-${PROXY_CONTAINER}`,
        command,
        env,
        directory: this.#directory,
        restart: "Always",
      },
      { runDirectory, owner, clock, changed: () => this.#changed() },
    );
    this.#sidecar.start();
  }

  async #writeToken(namespace: string, serviceAccount: string, path: string): Promise<number> {
    const { token, expiresAtMs } = await this.#deps.kube.requestToken(
      namespace,
      serviceAccount,
      [TOKEN_AUDIENCE],
      TOKEN_TTL_SECONDS,
    );
    writeFileSync(`${path}.new`, token, { mode: 0o600 });
    // Renamed into place, so that the sidecar never reads half a token.
    renameSync(`${path}.new`, path);
    return expiresAtMs;
  }

  async #renewToken(namespace: string, serviceAccount: string, path: string, firstExpiryMs: number): Promise<void> {
    const { clock, log } = this.#deps;
    let expiresAtMs = firstExpiryMs;
    for (;;) {
      try {
        await sleep(clock, Math.max(1_000, (expiresAtMs - clock.wallMs()) * 0.7), this.#stop.signal);
        expiresAtMs = await this.#writeToken(namespace, serviceAccount, path);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        log.warn("node.token.renew", { namespace, serviceAccount, error: errorText(error) });
        expiresAtMs = clock.wallMs() + 10_000;
      }
    }
  }

  /** Probes quickly until all is ready, slowly afterwards. */
  async #watchReadiness(): Promise<void> {
    const { signal } = this.#stop;
    const sidecarProbe: Probe = { kind: "http", host: this.#podIp, port: PORTS.admin, path: "/ready" };
    while (!signal.aborted) {
      let all = true;
      for (const { process, probe, readiness } of this.#containers) {
        all = (await this.#probe(process, probe, readiness)) && all;
      }
      if (this.#sidecar !== undefined) {
        all = (await this.#probe(this.#sidecar, sidecarProbe, this.#sidecarReadiness)) && all;
      }
      try {
        await sleep(this.#deps.clock, all ? READY_PROBE_MS : PROBE_MS, signal);
      } catch {
        return;
      }
    }
  }

  /** Probes once and notes it; whether the probe passed. */
  async #probe(process: Container | undefined, probe: Probe | undefined, readiness: Readiness): Promise<boolean> {
    const passed = process?.state.kind === "running" && (probe === undefined || (await passes(probe)));
    const before = readiness.ready;
    readiness.note(passed);
    if (process?.state.kind !== "running") readiness.lose();
    if (readiness.ready !== before) this.#changed();
    return passed;
  }

  #changed(): void {
    for (const { process, readiness } of this.#containers) if (process?.state.kind !== "running") readiness.lose();
    if (this.#sidecar !== undefined && this.#sidecar.state.kind !== "running") this.#sidecarReadiness.lose();
    this.#dirty = true;
    this.#writing ??= this.#writeStatus().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Writes the newest status until it is the written one. */
  async #writeStatus(): Promise<void> {
    const { kube, clock, hostIp, log } = this.#deps;
    while (this.#dirty && !this.#stop.signal.aborted) {
      this.#dirty = false;
      const view = {
        podIp: this.#podIp,
        hostIp,
        startedAtMs: this.#startedAtMs,
        sidecarReady: this.#sidecarReadiness.ready,
        containers: this.#containers.map((c) => this.#viewOf(c)),
      };
      const status = podStatus(view, this.#pod.status, clock.wallMs());
      const { namespace, name } = this.#pod.metadata;
      try {
        this.#pod = await kube.mergePatchStatus<Pod>(PODS, name, namespace, { status });
      } catch (error) {
        if (hasCode(error, "KUBE_NOT_FOUND")) return;
        log.warn("node.status", { pod: name, namespace, error: errorText(error) });
        this.#dirty = true;
        await sleep(clock, STATUS_RETRY_MS, this.#stop.signal).catch(() => undefined);
      }
    }
  }

  #viewOf(container: PodContainerState): ContainerView {
    const { spec, process, readiness } = container;
    const message = `no container runtime here: image "${spec.image}" is none of the samples and the container names no command`;
    const missing: ContainerState = { kind: "waiting", reason: "ErrImagePull", message };
    return {
      name: spec.name,
      image: spec.image,
      state: process?.state ?? missing,
      lastState: process?.lastState,
      restarts: process?.restarts ?? 0,
      ready: readiness.ready,
    };
  }
}

interface ReadinessProbe {
  httpGet?: { path?: string; port?: number | string };
  tcpSocket?: { port?: number | string };
}

function probeOf(container: PodContainer, host: string): Probe | undefined {
  const probe = (container as { readinessProbe?: ReadinessProbe }).readinessProbe;
  const port = (wanted: number | string | undefined) =>
    typeof wanted === "number"
      ? wanted
      : (container.ports?.find((p) => p.name === wanted)?.containerPort ?? Number(wanted));
  if (probe?.httpGet !== undefined)
    return { kind: "http", host, port: port(probe.httpGet.port), path: probe.httpGet.path ?? "/" };
  if (probe?.tcpSocket !== undefined) return { kind: "tcp", host, port: port(probe.tcpSocket.port) };
  return undefined;
}
