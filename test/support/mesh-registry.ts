import { deepEqual, equal } from "node:assert/strict";
import { PORTS } from "../../core/defaults.ts";
import { type LocalMesh, reached } from "./local-mesh.ts";

interface Status {
  readonly mode: string;
  readonly entries: number;
  readonly leases: readonly { lease: string; holder: string | null; token: string; ttlMs: number }[];
  readonly nodes: readonly { role: string; version: string; memoryBytes: number }[];
}

interface Verified {
  readonly entries: number;
  readonly differences: readonly { key: string; problem: string; detail: string }[];
}

/** The registry of one cluster of a local mesh, as `mesh registry` and its roles tell of it. */
export class MeshRegistry {
  readonly #mesh: LocalMesh;
  readonly #cluster: string;

  constructor(mesh: LocalMesh, cluster: string) {
    this.#mesh = mesh;
    this.#cluster = cluster;
  }

  async verify(settle = "30s"): Promise<{ code: number; verified: Verified; stderr: string }> {
    const args = ["registry", "verify", "--context", this.#cluster, "--settle", settle, "-o", "json"];
    const { code, stdout, stderr } = await this.#mesh.mesh(...args);
    const none = { entries: 0, differences: [] };
    return { code, stderr, verified: stdout === "" ? none : (JSON.parse(stdout) as Verified) };
  }

  /** That it becomes as Kubernetes and the peers have it. */
  async whole(): Promise<Verified> {
    const { code, verified, stderr } = await this.verify();
    deepEqual(verified.differences, [], stderr);
    equal(code, 0, stderr);
    return verified;
  }

  /** What `mesh registry status` asks control for. */
  async status(): Promise<Status> {
    const response = await fetch(`http://${this.#mesh.layout(this.#cluster).control}:${PORTS.admin}/registry`);
    return (await response.json()) as Status;
  }

  /** Waits until each role says on /ready that it is without its registry, for that reason. */
  async degraded(reason = ""): Promise<void> {
    const { control, gateway, mirror } = this.#mesh.layout(this.#cluster);
    for (const host of [control, gateway, mirror]) {
      await reached(`${host} is degraded`, async () => {
        const response = await fetch(`http://${host}:${PORTS.admin}/ready`);
        const text = await response.text();
        return response.ok && text.startsWith("degraded: the registry is away") && text.includes(reason);
      });
    }
  }

  /** That each role says on /ready that nothing is missing. */
  async up(): Promise<void> {
    const { control, gateway, mirror } = this.#mesh.layout(this.#cluster);
    for (const host of [control, gateway, mirror]) {
      const response = await fetch(`http://${host}:${PORTS.admin}/ready`);
      equal(response.status, 200);
      equal((await response.text()).trim(), "ready", host);
    }
  }

  /** The leases that a role of the cluster holds by its own account. */
  async leases(role: "control" | "gateway" | "mirror"): Promise<{ lease: string; token: string }[]> {
    const config = await fetch(`http://${this.#mesh.layout(this.#cluster)[role]}:${PORTS.admin}/config`);
    return ((await config.json()) as { leases: { lease: string; token: string }[] }).leases;
  }

  /** Makes a service of another name each time, exported; resolves to what waits for it in `peer`. */
  async makeService(name: string, port: number, peer: string): Promise<() => Promise<void>> {
    await this.#mesh.kubectlApply(
      this.#cluster,
      `apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop, labels: { causeway.dev/exported: "true" } }
spec:
  selector: { app: web }
  ports: [{ name: http, port: ${port}, targetPort: http, appProtocol: http }]
`,
    );
    return async () => {
      await this.#mesh.answered(peer, `${name}-${this.#cluster}.shop.svc.cluster.local:${port}`, this.#cluster);
    };
  }
}
