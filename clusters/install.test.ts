import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { ManualClock } from "../core/clock.ts";
import { SYSTEM_NAMESPACE } from "../core/defaults.ts";
import { MeshError } from "../core/errors.ts";
import type { KubeClient, KubeObject, ResourceType } from "../kube/client.ts";
import type { Link, ServiceExportObject, ServiceImportObject } from "../kube/resources.ts";
import { contains, installManifests, readManifests } from "./install.ts";

const EXPORTS = "CustomResourceDefinition serviceexports.multicluster.x-k8s.io";

describe("installManifests()", () => {
  it("creates everything once, namespace before what lives in it, and then changes nothing", async () => {
    const server = new FakeServer();
    const first = await installManifests(server.client());
    equal(first.created.length, (await readManifests()).length);
    deepEqual([first.updated, first.unchanged], [[], []]);
    ok(
      first.created.indexOf(`Namespace ${SYSTEM_NAMESPACE}`) <
        first.created.indexOf(`ServiceAccount ${SYSTEM_NAMESPACE}/causeway-mirror`),
    );
    const writes = server.writes;
    const second = await installManifests(server.client());
    deepEqual(second, { created: [], updated: [], unchanged: first.created, kept: [] });
    equal(server.writes, writes);
  });

  it("brings back what drifted and leaves what others added", async () => {
    const server = new FakeServer();
    await installManifests(server.client());
    const role = server.object("ClusterRole causeway-mirror") as KubeObject & { rules: unknown[] };
    role.rules = [];
    role.metadata.labels = { ...role.metadata.labels, theirs: "stays" };
    const { updated, created } = await installManifests(server.client());
    deepEqual([updated, created], [["ClusterRole causeway-mirror"], []]);
    const after = server.object("ClusterRole causeway-mirror") as KubeObject & { rules: unknown[] };
    equal(after.rules.length, 12);
    equal(after.metadata.labels?.["theirs"], "stays");
  });

  it("with crdsOnly installs the definitions alone", async () => {
    const { created } = await installManifests(new FakeServer().client(), { crdsOnly: true });
    deepEqual(
      created.map((name) => name.split(" ")[0]),
      Array(9).fill("CustomResourceDefinition"),
    );
  });

  it("uses a foreign definition of the Multi-Cluster Services API, and refuses one without our version", async () => {
    const server = new FakeServer();
    await installManifests(server.client());
    const foreign = server.object(EXPORTS) as KubeObject & { spec: { versions: { name: string; served: boolean }[] } };
    foreign.metadata.labels = {};
    foreign.spec.versions = [{ name: "v1alpha1", served: true }];
    const { unchanged, updated } = await installManifests(server.client());
    ok(unchanged.includes(EXPORTS));
    deepEqual(updated, []);
    foreign.spec.versions = [{ name: "v2", served: true }];
    await rejects(installManifests(server.client()), { code: "KUBE_CONFLICT", message: /does not serve v1alpha1/ });
  });

  it("leaves Gateway API's own definitions alone, adds what an older bundle lacks, and says what it cannot read", async () => {
    const server = new FakeServer();
    await installManifests(server.client());
    const official = (plural: string, versions: string[], labels: Record<string, string> = {}) => {
      const name = `${plural}.gateway.networking.k8s.io`;
      const crd = server.object(`CustomResourceDefinition ${name}`) as KubeObject & {
        spec: { versions: { name: string; served: boolean }[]; theirs?: string };
      };
      crd.metadata.labels = labels;
      crd.metadata.annotations = { "gateway.networking.k8s.io/bundle-version": "v1.0.0" };
      crd.spec = {
        ...crd.spec,
        theirs: "stays",
        versions: versions.map((version) => ({ name: version, served: true })),
      };
    };
    // Applied over ours, it bears our label still.
    official("httproutes", ["v1", "v1beta1"], { "app.kubernetes.io/managed-by": "causeway" });
    official("grpcroutes", ["v1alpha2"]);
    const writes = server.writes;
    const { created, updated, kept } = await installManifests(server.client());
    deepEqual([created, updated, server.writes], [[], [], writes]);
    deepEqual(kept, [
      "CustomResourceDefinition httproutes.gateway.networking.k8s.io (v1.0.0)",
      "CustomResourceDefinition grpcroutes.gateway.networking.k8s.io (v1.0.0, which serves v1alpha2 and not v1: GRPCRoutes are not read)",
    ]);
    server.remove("CustomResourceDefinition grpcroutes.gateway.networking.k8s.io");
    const label = "CustomResourceDefinition grpcroutes.gateway.networking.k8s.io";
    server.refuse = label;
    const refused = await installManifests(server.client());
    deepEqual([refused.created, refused.kept[1]], [[], `${label} (not installed: a policy says no)`]);
    server.refuse = "";
    deepEqual((await installManifests(server.client())).created, [label]);
  });

  it("waits until definitions are established, and says why when they are not", async () => {
    const clock = new ManualClock();
    const server = new FakeServer(false);
    const options = { clock, establishMs: 5_000 };
    const early = settled(installManifests(server.client(), options));
    while (clock.nowMs() < 1_000) await clock.advance(200);
    equal(early.done, false);
    server.establishes = true;
    while (!early.done) await clock.advance(200);
    equal(early.error, undefined);
    const late = settled(installManifests(new FakeServer(false).client(), options));
    while (!late.done) await clock.advance(200);
    ok(
      late.error instanceof MeshError &&
        late.error.code === "KUBE_FAILED" &&
        /is not established/.test(late.error.message),
    );
  });

  it("goes on when another install made an object first", async () => {
    const server = new FakeServer();
    await installManifests(server.client());
    server.hideOnce = EXPORTS;
    const { unchanged } = await installManifests(server.client());
    ok(unchanged.includes(EXPORTS));
  });
});

describe("contains()", () => {
  it("ignores what only the server has, at any depth but not in the length of lists", () => {
    ok(contains({ a: 1, b: { c: [{ d: 1, e: 2 }], f: 3 } }, { b: { c: [{ d: 1 }] } }));
    ok(!contains({ c: [{ d: 1 }, {}] }, { c: [{ d: 1 }] }));
    ok(!contains({ a: "1" }, { a: 1 }));
    ok(!contains({ a: {} }, { a: { b: {} } }));
    ok(!contains([], {}));
    ok(!contains(undefined, { a: 1 }));
    ok(!contains({}, { toString: Object.prototype.toString }));
  });
});

describe("the definitions", () => {
  interface Schema {
    type?: string;
    properties?: Record<string, Schema>;
    items?: Schema;
    additionalProperties?: Schema;
    required?: string[];
    enum?: unknown[];
    pattern?: string;
    [extension: string]: unknown;
  }
  type Crd = KubeObject & {
    spec: {
      names: { kind: string };
      versions: {
        name: string;
        served: boolean;
        storage: boolean;
        subresources: object;
        schema: { openAPIV3Schema: Schema };
      }[];
    };
  };
  let crds: Map<string, Crd>;

  before(async () => {
    const objects = (await readManifests()).filter(({ kind }) => kind === "CustomResourceDefinition") as Crd[];
    crds = new Map(objects.map((crd) => [crd.spec.names.kind, crd]));
  });

  function schemaOf(kind: string): Schema {
    return crds.get(kind)?.spec.versions.find(({ storage }) => storage)?.schema.openAPIV3Schema ?? {};
  }

  /** Paths at which `value` breaks `schema`, or holds a field that the server would drop. */
  function broken(value: unknown, schema: Schema, path = ""): string[] {
    if (path === ".metadata") return [];
    const type = Array.isArray(value) ? "array" : Number.isInteger(value) ? "integer" : typeof value;
    if (schema.type !== type && !(schema.type === "number" && type === "integer")) return [`${path} is ${type}`];
    if (schema.enum !== undefined && !schema.enum.includes(value)) return [`${path} is not in the enum`];
    if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(String(value)))
      return [`${path} breaks the pattern`];
    if (Array.isArray(value))
      return value.flatMap((item, index) => broken(item, schema.items ?? {}, `${path}[${index}]`));
    if (typeof value !== "object" || value === null) return [];
    const missing = (schema.required ?? [])
      .filter((key) => !Object.hasOwn(value, key))
      .map((key) => `${path}.${key} is missing`);
    const found = Object.entries(value).flatMap(([key, field]) => {
      const inner = schema.properties?.[key] ?? schema.additionalProperties;
      return inner === undefined ? [`${path}.${key} is unknown`] : broken(field, inner, `${path}.${key}`);
    });
    return [...missing, ...found];
  }

  /** What the API server demands of a structural schema. */
  function unstructured(schema: Schema, path: string): string[] {
    const children = Object.entries(schema.properties ?? {}).flatMap(([key, child]) =>
      unstructured(child, `${path}.${key}`),
    );
    const nested = [schema.items, schema.additionalProperties].flatMap((child) =>
      child === undefined ? [] : unstructured(child, `${path}[]`),
    );
    const keys = schema["x-kubernetes-list-map-keys"] as string[] | undefined;
    const own = [
      ...(schema.type === undefined ? [`${path} has no type`] : []),
      ...(schema.type === "array" && schema.items === undefined ? [`${path} has no items`] : []),
      ...(keys ?? [])
        .filter((key) => !schema.items?.required?.includes(key))
        .map((key) => `${path} key ${key} is optional`),
      ...(schema.required ?? [])
        .filter((key) => schema.properties?.[key] === undefined)
        .map((key) => `${path}.${key} is required but unknown`),
    ];
    return [...own, ...children, ...nested];
  }

  it("are structural, have a status subresource and one stored version each", () => {
    deepEqual(
      [...crds.keys()],
      [
        "Link",
        "FailoverPolicy",
        "Evacuation",
        "TrustRotation",
        "ServiceExport",
        "ServiceImport",
        "HTTPRoute",
        "GRPCRoute",
        "ReferenceGrant",
      ],
    );
    for (const [kind, { spec }] of crds) {
      equal(spec.versions.filter(({ storage }) => storage).length, 1, kind);
      for (const version of spec.versions) {
        deepEqual(unstructured(version.schema.openAPIV3Schema, `${kind} ${version.name}`), []);
        deepEqual(version.served, true);
        // A ReferenceGrant has no status.
        deepEqual(version.subresources, kind === "ReferenceGrant" ? undefined : { status: {} });
      }
    }
    for (const kind of ["ServiceExport", "ServiceImport"]) {
      deepEqual(
        crds.get(kind)?.spec.versions.map(({ name, storage }) => [name, storage]),
        [
          ["v1beta1", true],
          ["v1alpha1", false],
        ],
      );
    }
  });

  const condition = {
    type: "Ready",
    status: "True",
    reason: "Ready",
    message: "",
    lastTransitionTime: "2030-01-01T00:00:00Z",
    observedGeneration: 1,
  } as const;

  it("accept a whole Link and refuse a wrong one", () => {
    const link: Link = {
      apiVersion: "causeway.dev/v1alpha1",
      kind: "Link",
      metadata: { name: "east" },
      spec: {
        cluster: "east",
        trustDomain: "east.mesh",
        gateways: [{ host: "127.10.0.2", federationPort: 4180, relayPort: 4143, zone: "a" }],
        rootFingerprint: `sha256:${"0".repeat(64)}`,
        dial: true,
        import: true,
        export: false,
        secretName: "link-east",
      },
      status: {
        observedGeneration: 1,
        phase: "active",
        health: "alive",
        since: "2030-01-01T00:00:00Z",
        services: 3,
        rttMs: 0.7,
        conditions: [condition],
      },
    };
    deepEqual(broken(link, schemaOf("Link")), []);
    const { secretName: _, ...spec } = { ...link.spec, cluster: "East", rootFingerprint: "md5:0", extra: 1 };
    deepEqual(broken({ ...link, spec, status: { phase: "done" } }, schemaOf("Link")), [
      ".spec.secretName is missing",
      ".spec.cluster breaks the pattern",
      ".spec.rootFingerprint breaks the pattern",
      ".spec.extra is unknown",
      ".status.phase is not in the enum",
    ]);
  });

  it("accept whole ServiceExports and ServiceImports", () => {
    const meta = { apiVersion: "multicluster.x-k8s.io/v1alpha1", metadata: { name: "web" } };
    const exported: ServiceExportObject = {
      ...meta,
      kind: "ServiceExport",
      spec: { exportedLabels: { a: "b" }, exportedAnnotations: { c: "d" } },
      status: { conditions: [condition] },
    };
    const imported: ServiceImportObject = {
      ...meta,
      kind: "ServiceImport",
      spec: {
        type: "ClusterSetIP",
        ips: ["10.0.0.1"],
        ports: [{ name: "http", port: 80, protocol: "TCP", appProtocol: "http" }],
        sessionAffinity: "None",
      },
      status: { clusters: [{ cluster: "east" }], conditions: [condition] },
    };
    deepEqual(broken(exported, schemaOf("ServiceExport")), []);
    deepEqual(broken(imported, schemaOf("ServiceImport")), []);
  });
});

/** What has become of a promise so far. */
function settled(promise: Promise<unknown>): { done: boolean; error: unknown } {
  const state = { done: false, error: undefined as unknown };
  promise.then(
    () => {
      state.done = true;
    },
    (error: unknown) => Object.assign(state, { done: true, error }),
  );
  return state;
}

/** As much of an API server as installing needs: it adds fields of its own, and establishes definitions. */
class FakeServer {
  readonly #objects = new Map<string, KubeObject>();
  writes = 0;
  establishes: boolean;
  hideOnce = "";
  /** Refuse to create this. */
  refuse = "";

  constructor(establishes = true) {
    this.establishes = establishes;
  }

  object(key: string): KubeObject | undefined {
    return this.#objects.get(key);
  }

  remove(key: string): void {
    this.#objects.delete(key);
  }

  client(): KubeClient {
    const keyOf = (type: ResourceType, name: string, namespace?: string) =>
      `${type.kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
    const partial: Partial<KubeClient> = {
      get: async <T extends KubeObject>(type: ResourceType, name: string, namespace?: string) => {
        const key = keyOf(type, name, namespace);
        if (key === this.hideOnce) this.hideOnce = "";
        else if (this.#objects.has(key)) {
          const status = { conditions: this.establishes ? [{ type: "Established", status: "True" }] : [] };
          return { ...structuredClone(this.#objects.get(key)), status } as unknown as T;
        }
        return undefined;
      },
      create: async <T extends KubeObject>(type: ResourceType, object: T) => {
        const { name, namespace } = object.metadata;
        const key = keyOf(type, name, namespace);
        if (this.#objects.has(key)) throw new MeshError("KUBE_CONFLICT", "exists");
        if (key === this.refuse) throw new MeshError("KUBE_INVALID", "a policy says no");
        this.writes++;
        const stored = { ...structuredClone(object), status: {} };
        Object.assign(stored.metadata, { uid: key, resourceVersion: "1", generation: 1 });
        this.#objects.set(key, stored);
        return object;
      },
      mergePatch: async <T extends KubeObject>(
        type: ResourceType,
        name: string,
        namespace: string | undefined,
        patch: object,
      ) => {
        this.writes++;
        const key = keyOf(type, name, namespace);
        const merged = merge(this.#objects.get(key), structuredClone(patch)) as T;
        this.#objects.set(key, merged);
        return merged;
      },
    };
    return partial as KubeClient;
  }
}

function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = { ...(target as Record<string, unknown>) };
  for (const [key, value] of Object.entries(patch)) result[key] = merge(result[key], value);
  return result;
}
