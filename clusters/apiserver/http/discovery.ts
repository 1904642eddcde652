import type { Catalog } from "../kinds/catalog.ts";
import { groupVersion, type Kind } from "../kinds/kind.ts";
import type { JsonObject } from "../object.ts";
import { VIRTUAL_KINDS } from "./virtual-kinds.ts";

/** Versions as Kubernetes ranks them: GA before beta before alpha, then higher first. */
function compareVersions(a: string, b: string): number {
  const rank = (version: string): readonly number[] => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
    if (match === null) return [-1, 0, 0];
    const stage = match[2] === undefined ? 2 : match[2] === "beta" ? 1 : 0;
    return [stage, Number(match[1]), Number(match[3] ?? 0)];
  };
  const [ra, rb] = [rank(a), rank(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (rb[i] ?? 0) - (ra[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

interface Entry {
  readonly name: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
}

const SUBRESOURCE_KINDS: Readonly<Record<string, { group: string; version: string; kind: string; verbs: string[] }>> = {
  scale: { group: "autoscaling", version: "v1", kind: "Scale", verbs: ["get", "patch", "update"] },
  token: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest", verbs: ["create"] },
  eviction: { group: "policy", version: "v1", kind: "Eviction", verbs: ["create"] },
  binding: { group: "", version: "v1", kind: "Binding", verbs: ["create"] },
  exec: { group: "", version: "v1", kind: "PodExecOptions", verbs: ["create", "get"] },
  log: { group: "", version: "v1", kind: "Pod", verbs: ["get"] },
  finalize: { group: "", version: "v1", kind: "Namespace", verbs: ["update"] },
};

function entriesOf(kind: Kind): Entry[] {
  const { group, version, namespaced } = kind;
  const main: Entry = { ...kind, name: kind.plural };
  const sub = (name: string, given?: { group: string; version: string; kind: string; verbs: string[] }): Entry => ({
    name: `${kind.plural}/${name}`,
    singular: "",
    namespaced,
    group: given?.group ?? group,
    version: given?.version ?? version,
    kind: given?.kind ?? kind.kind,
    verbs: given?.verbs ?? ["get", "patch", "update"],
    shortNames: [],
    categories: [],
  });
  const subs = [...kind.subresources, ...(kind.scale === undefined ? [] : ["scale"])].map((name) =>
    sub(name, SUBRESOURCE_KINDS[name]),
  );
  return [main, ...subs, ...(kind.statusSubresource ? [sub("status")] : [])];
}

/** The documents from which clients learn what is served. */
export class Discovery {
  readonly #catalog: Catalog;
  readonly #server: string;

  constructor(catalog: Catalog, server: string) {
    this.#catalog = catalog;
    this.#server = server;
  }

  /** Served versions by group, the best first. */
  groups(): Map<string, string[]> {
    const groups = new Map<string, Set<string>>();
    for (const { group, version } of [...this.#catalog.all(), ...VIRTUAL_KINDS]) {
      const versions = groups.get(group) ?? new Set();
      groups.set(group, versions.add(version));
    }
    return new Map(
      [...groups]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([group, versions]) => [group, [...versions].sort(compareVersions)]),
    );
  }

  /** `/api` and `/apis` in the aggregated form of apidiscovery.k8s.io/v2. */
  aggregated(core: boolean): JsonObject {
    const items = [...this.groups()]
      .filter(([group]) => (group === "") === core)
      .map(([group, versions]) => ({
        metadata: { name: group, creationTimestamp: null },
        versions: versions.map((version) => ({
          version,
          resources: this.#aggregatedResources(group, version),
          freshness: "Current",
        })),
      }));
    return { kind: "APIGroupDiscoveryList", apiVersion: "apidiscovery.k8s.io/v2", metadata: {}, items };
  }

  /** `/api` */
  coreVersions(): JsonObject {
    const address = this.#server;
    return {
      kind: "APIVersions",
      versions: ["v1"],
      serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: address }],
    };
  }

  /** `/apis` */
  groupList(): JsonObject {
    const groups = [...this.groups().keys()].filter((group) => group !== "").map((group) => this.#group(group));
    return { kind: "APIGroupList", apiVersion: "v1", groups };
  }

  /** `/apis/<group>`; undefined for an unknown group. */
  group(group: string): JsonObject | undefined {
    return group !== "" && this.groups().has(group)
      ? { kind: "APIGroup", apiVersion: "v1", ...this.#group(group) }
      : undefined;
  }

  /** `/api/v1` and `/apis/<group>/<version>`; undefined for an unknown one. */
  resources(group: string, version: string): JsonObject | undefined {
    const entries = this.#entries(group, version);
    if (entries.length === 0) return undefined;
    const resources = entries.map((entry) => ({
      name: entry.name,
      singularName: entry.singular,
      namespaced: entry.namespaced,
      ...(entry.group === group && entry.version === version ? {} : { group: entry.group, version: entry.version }),
      kind: entry.kind,
      verbs: entry.verbs,
      ...(entry.shortNames.length === 0 ? {} : { shortNames: entry.shortNames }),
      ...(entry.categories.length === 0 ? {} : { categories: entry.categories }),
    }));
    return { kind: "APIResourceList", apiVersion: "v1", groupVersion: groupVersion({ group, version }), resources };
  }

  #group(group: string): JsonObject {
    const versions = (this.groups().get(group) ?? []).map((version) => ({
      groupVersion: groupVersion({ group, version }),
      version,
    }));
    return { name: group, versions, preferredVersion: versions[0] };
  }

  #entries(group: string, version: string): Entry[] {
    const kinds = this.#catalog.all().filter((kind) => kind.group === group && kind.version === version);
    const virtual = VIRTUAL_KINDS.filter((kind) => kind.group === group && kind.version === version).map(
      (kind): Entry => ({
        ...kind,
        name: kind.plural,
        singular: kind.kind.toLowerCase(),
        verbs: ["create"],
        shortNames: [],
        categories: [],
      }),
    );
    return [...kinds.flatMap(entriesOf), ...virtual];
  }

  #aggregatedResources(group: string, version: string): JsonObject[] {
    const resources: (JsonObject & { resource: string; subresources?: JsonObject[] })[] = [];
    for (const entry of this.#entries(group, version)) {
      const responseKind = { group: entry.group, version: entry.version, kind: entry.kind };
      const [name = "", sub] = entry.name.split("/");
      if (sub !== undefined) {
        const parent = resources.find((one) => one.resource === name);
        if (parent !== undefined)
          parent.subresources = [
            ...(parent.subresources ?? []),
            { subresource: sub, responseKind, verbs: entry.verbs },
          ];
        continue;
      }
      resources.push({
        resource: name,
        responseKind,
        scope: entry.namespaced ? "Namespaced" : "Cluster",
        singularResource: entry.singular,
        verbs: entry.verbs,
        ...(entry.shortNames.length === 0 ? {} : { shortNames: entry.shortNames }),
        ...(entry.categories.length === 0 ? {} : { categories: entry.categories }),
      });
    }
    return resources;
  }
}
