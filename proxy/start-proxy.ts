import { createTransport } from "../transport/create-transport.ts";
import { MuxContext } from "../transport/mux/mux-context.ts";
import { ADMIN_DRAIN_MS, listenProxyAdmin } from "./observe/proxy-admin.ts";
import { type WorkloadDeps, type WorkloadOptions, WorkloadProxy } from "./workload-proxy.ts";

export interface ProxyOptions extends WorkloadOptions {
  readonly listen: WorkloadOptions["listen"] & {
    /** 4191 by convention; 0 for any. */
    readonly adminPort: number;
    /** `host` by default. */
    readonly adminHost?: string;
  };
  readonly adapter: "auto" | "handle" | "net";
}

/** `signal` closes the proxy. */
export type ProxyDeps = Pick<WorkloadDeps, "clock" | "random" | "log" | "signal">;

export interface RunningProxy {
  readonly outboundPort: number;
  readonly inboundPort: number;
  readonly adminPort: number;
  /** Accepts nothing more, lets what is under way end with `connection: close`; what is left at the deadline is cut. */
  drain(deadlineMs: number): Promise<void>;
  /** Cuts everything and frees all. */
  close(): Promise<void>;
}

/**
 * Starts a sidecar: waits for its certificate, then serves. Control may come and go later: what it said last holds.
 * @throws MeshError PORT_IN_USE, ABORTED
 */
export async function startProxy(options: ProxyOptions, deps: ProxyDeps): Promise<RunningProxy> {
  const { clock, log } = deps;
  const { host, adminHost, adminPort } = options.listen;
  let workload: WorkloadProxy | undefined;
  const admin = await listenProxyAdmin(adminHost ?? host, adminPort, {
    workloads: () => (workload === undefined ? [] : [{ labels: "", workload }]),
    config: () => workload?.config() ?? {},
    drain: () => void workload?.drain(ADMIN_DRAIN_MS),
  });
  log.info("admin.started", { adminPort: admin.port });
  const close = async () => {
    await workload?.close();
    await admin.close();
  };
  try {
    const transport = await createTransport({ adapter: options.adapter, log, clock });
    const mux = new MuxContext({ wheel: transport.wheel, log });
    const started = new WorkloadProxy(options, { ...deps, transport, mux, reservedPorts: [admin.port] });
    workload = started;
    deps.signal.addEventListener("abort", () => void close(), { once: true });
    await started.start();
    return {
      outboundPort: started.outboundPort,
      inboundPort: started.inboundPort,
      adminPort: admin.port,
      drain: (deadlineMs) => started.drain(deadlineMs),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
