import assert from "node:assert/strict";
import { describe, it } from "mocha";
import type { FailoverPolicy } from "../core/failover.ts";
import { parseIdentity, parseTrustDomain } from "../core/identity.ts";
import type { RouteRule, ServiceRoutes } from "../core/route.ts";
import type { LocalEndpoints, LocalService, RemoteEndpoints, RemoteService, ServiceKey } from "../core/service.ts";
import type { VirtualAddress } from "../registry/state.ts";
import { parseAuthority } from "./authority.ts";
import type { Catalog } from "./catalog.ts";
import { inboundPorts } from "./inbound.ts";
import { namesBehind, resolve } from "./resolve.ts";

const http = { name: "http", port: 80, protocol: "TCP", appProtocol: "http" } as const;
const identity = parseIdentity("spiffe://west.mesh/ns/shop/sa/web");

function local(name: string, extra: Partial<LocalService> = {}): LocalService {
  return {
    namespace: "shop",
    name,
    ports: [http],
    headless: false,
    clusterIps: ["127.20.128.9"],
    sessionAffinity: false,
    ...extra,
  };
}

const endpoints: LocalEndpoints = {
  namespace: "shop",
  name: "web",
  endpoints: [
    {
      id: "u1",
      address: "127.20.1.1",
      ready: true,
      ports: { "80": 8080 },
      identity,
      proxyPort: 4143,
      zone: "",
      pod: "web-1",
    },
  ],
};

function remote(cluster: string, extra: Partial<RemoteService> = {}): RemoteService {
  return {
    cluster,
    namespace: "shop",
    name: "web",
    ports: [http],
    headless: false,
    sessionAffinity: false,
    clusterset: true,
    exportedAtMs: 1,
    ...extra,
  };
}

function catalog(
  services: readonly LocalService[],
  remotes: readonly RemoteService[],
  extra: Partial<Catalog> = {},
): Catalog {
  const remoteEndpoints = (cluster: string): RemoteEndpoints => ({
    cluster,
    namespace: "shop",
    name: "web",
    endpoints: [
      {
        id: `${cluster}-1`,
        ready: true,
        identity: parseIdentity(`spiffe://${cluster}.mesh/ns/shop/sa/web`),
        zone: "",
        routes: [{ servicePort: 80, targetPort: 8080, routeName: `abc.${cluster}.mesh` }],
      },
    ],
  });
  return {
    cluster: "west",
    trustDomain: parseTrustDomain("west.mesh"),
    localService: (key) => services.find((s) => `${s.namespace}/${s.name}` === key),
    localEndpoints: (key) => (key === "shop/web" ? endpoints : undefined),
    mirrored: (key) => remotes.find((r) => `${r.namespace}/${r.name}-${r.cluster}` === key),
    remoteServices: (key) => remotes.filter((r) => `${r.namespace}/${r.name}` === key),
    remoteEndpoints,
    gateways: (cluster) => [{ host: `gw.${cluster}`, relayPort: 4143, federationPort: 4180, zone: "" }],
    trustDomainOf: (cluster) => parseTrustDomain(`${cluster}.mesh`),
    link: () => undefined,
    servicesAt: (address) => (address === "127.20.1.1" ? ["shop/web" as ServiceKey] : []),
    routes: () => undefined,
    failover: () => undefined,
    virtualAddress: () => undefined,
    serviceByClusterIp: (address) => (address === "127.20.128.9" ? ("shop/web" as ServiceKey) : undefined),
    ...extra,
  };
}

const ask = (authority: string, from: Catalog, client = "shop") =>
  resolve(parseAuthority(authority, "shop"), from, client);

describe("parseAuthority()", () => {
  const cases: [string, string, string][] = [
    ["web:80", "maybe", "shop/web"],
    ["web.other:80", "maybe", "other/web"],
    ["web.other.svc:80", "service", "other/web"],
    ["WEB.Other.svc.cluster.local.:80", "service", "other/web"],
    ["web.other.svc.clusterset.local:80", "clusterset", "other/web"],
  ];
  for (const [authority, kind, key] of cases) {
    it(`reads ${authority} as ${kind} ${key}`, () => {
      const target = parseAuthority(authority, "shop");
      assert.equal(target.kind, kind);
      assert.equal("name" in target && `${target.namespace}/${target.name}`, key);
    });
  }
  it("tells addresses and outside names apart, and refuses names in our domains that name no service", () => {
    assert.equal(parseAuthority("10.0.0.1:80", "shop").kind, "address");
    assert.equal(parseAuthority("[::1]:80", "shop").kind, "address");
    assert.equal(parseAuthority("api.example.com:443", "shop").kind, "external");
    assert.equal(parseAuthority("localhost:80", "shop").kind, "external");
    for (const text of [
      "web.cluster.local:80",
      "east.web.shop.svc.clusterset.local:80",
      "web",
      "web:0",
      "web:70000",
      "[x]:80",
    ]) {
      assert.equal(parseAuthority(text, "shop").kind, "nothing", text);
    }
  });
});

describe("resolve()", () => {
  it("gives a local service its own endpoints and no fall-over", () => {
    const found = ask("web:80", catalog([local("web")], [remote("east")]));
    assert.ok(found.kind === "service");
    assert.equal(found.federated, false);
    assert.deepEqual(
      found.groups.map((g) => [g.cluster, g.endpoints.map((e) => `${e.address}:${e.port}`)]),
      [["", ["127.20.1.1:8080"]]],
    );
  });

  it("gives a mirror the remote endpoints behind their gateways, by route name only", () => {
    const found = ask("web-east.shop.svc.cluster.local:80", catalog([local("web")], [remote("east")]));
    assert.ok(found.kind === "service");
    const [group] = found.groups;
    assert.equal(group?.cluster, "east");
    assert.equal(group?.trustDomain, "east.mesh");
    assert.deepEqual(group?.gateways, [{ host: "gw.east", port: 4143 }]);
    assert.deepEqual(
      group?.endpoints.map((e) => [e.address, e.routeName, e.identity]),
      [["", "abc.east.mesh", "spiffe://east.mesh/ns/shop/sa/web"]],
    );
  });

  it("lets a Service of the cluster's own win over a mirror of the same name", () => {
    const found = ask("web-east:80", catalog([local("web-east")], [remote("east")]));
    assert.ok(found.kind === "service");
    assert.deepEqual(
      found.groups.map((g) => g.cluster),
      [""],
    );
  });

  it("puts the own cluster first, then peers by round trip, for a clusterset name", () => {
    const rtt: Record<string, number> = { east: 30, north: 5 };
    const link: Catalog["link"] = (cluster) => ({
      cluster,
      health: "alive",
      ramp: 1,
      active: true,
      sinceMs: 0,
      rttMs: rtt[cluster] ?? 0,
      reason: "",
      refused: [],
    });
    const own = local("web", { export: { to: "all", clusterset: true, exportedAtMs: 1 } });
    const found = ask("web.shop.svc.clusterset.local:80", catalog([own], [remote("east"), remote("north")], { link }));
    assert.ok(found.kind === "service");
    assert.equal(found.federated, true);
    assert.deepEqual(
      found.groups.map((g) => g.cluster),
      ["", "north", "east"],
    );
  });

  it("places clusters of a clusterset name as its policy says, and tells of endpoints that are not at hand", () => {
    const own = local("web", { export: { to: "all", clusterset: true, exportedAtMs: 1 } });
    const place = (policy: FailoverPolicy) => {
      const found = ask(
        "web.shop.svc.clusterset.local:80",
        catalog([own], [remote("east")], { failover: () => policy }),
      );
      assert.ok(found.kind === "service");
      return found.groups.map(({ cluster, level, weight }) => [cluster, level, weight]);
    };
    assert.deepEqual(place({ mode: "priority", prefer: ["east"], weights: {} }), [
      ["east", 1, 0],
      ["", 2, 0],
    ]);
    assert.deepEqual(place({ mode: "weighted", prefer: [], weights: { east: 70, west: 30 } }), [
      ["", 1, 30],
      ["east", 1, 70],
    ]);
    const counts = { total: 200, ready: 120 };
    const remoteEndpoints = () => ({ cluster: "east", namespace: "shop", name: "web", endpoints: [], counts });
    const mirror = ask("web-east:80", catalog([], [remote("east")], { remoteEndpoints }));
    assert.ok(mirror.kind === "service");
    assert.deepEqual(
      mirror.groups.map(({ level, total, readyTotal }) => [level, total, readyTotal]),
      [[0, 200, 120]],
    );
  });

  it("leaves the own Service out of the clusterset name unless it is exported", () => {
    const found = ask("web.shop.svc.clusterset.local:80", catalog([local("web")], [remote("east")]));
    assert.ok(found.kind === "service");
    assert.deepEqual(
      found.groups.map((g) => g.cluster),
      ["east"],
    );
  });

  it("leaves label exports out of the clusterset name", () => {
    assert.equal(
      ask("web.shop.svc.clusterset.local:80", catalog([], [remote("east", { clusterset: false })])).kind,
      "notFound",
    );
  });

  it("offers nothing of a peer whose bundle is not known", () => {
    const found = ask("web-east:80", catalog([], [remote("east")], { trustDomainOf: () => undefined }));
    assert.ok(found.kind === "service");
    assert.deepEqual(
      found.groups.map((g) => g.endpoints.length),
      [0],
    );
  });

  it("finds services by ClusterIP and pods by their address", () => {
    const found = ask("127.20.128.9:80", catalog([local("web")], []));
    assert.ok(found.kind === "service");
    const pod = ask("127.20.1.1:8080", catalog([local("web")], []));
    assert.ok(pod.kind === "service");
    assert.deepEqual(
      pod.groups[0]?.endpoints.map((e) => e.id),
      ["u1"],
    );
    assert.equal(ask("10.9.9.9:80", catalog([local("web")], [])).kind, "external");
  });

  it("finds mirrors and clusterset names by their addresses, IPv6 in any form", () => {
    const virtual: Record<string, VirtualAddress> = {
      "10.96.0.7": { of: "service", namespace: "shop", name: "web-east" },
      "fd00::7": { of: "clusterset", namespace: "shop", name: "web" },
      "10.96.0.8": { of: "service", namespace: "shop", name: "gone" },
    };
    const virtualAddress: Catalog["virtualAddress"] = (address) => virtual[address];
    const all = catalog([], [remote("east")], { virtualAddress });
    const mirror = ask("10.96.0.7:80", all);
    assert.ok(mirror.kind === "service" && !mirror.federated);
    assert.equal(mirror.groups[0]?.endpoints[0]?.routeName, "abc.east.mesh");
    for (const authority of ["[fd00::7]:80", "[FD00:0:0::0007]:80"]) {
      const federated = ask(authority, all);
      assert.ok(federated.kind === "service" && federated.federated, authority);
    }
    assert.equal(ask("[fd00::7]:81", all).kind, "notFound");
    assert.equal(ask("10.96.0.8:80", all).kind, "notFound");
    assert.equal(ask("[::1]:80", all).kind, "external");
    assert.deepEqual(namesBehind(parseAuthority("10.96.0.7:80", "shop"), all), ["shop/web-east"]);
    assert.deepEqual(namesBehind(parseAuthority("[fd00::7]:80", "shop"), all), ["shop/web"]);
    const mapped = ask("[::ffff:127.20.128.9]:80", catalog([local("web")], []));
    assert.equal(mapped.kind, "service");
  });

  it("hands out the routes of the port and of the client's namespace, completed by the service's settings", () => {
    const rule = (name: string, extra: Partial<RouteRule> = {}): RouteRule => ({
      name,
      matches: [],
      filters: [],
      backends: [],
      grpc: false,
      ...extra,
    });
    const attached = (name: string, ports: number[] = [], extra: Partial<RouteRule> = {}) => ({
      ports,
      rule: rule(name, extra),
    });
    const all: ServiceRoutes = {
      namespace: "shop",
      name: "web",
      service: {
        producer: [
          attached("p80", [80], { timeouts: { requestMs: 1_000 }, retry: { httpStatuses: [503] } }),
          attached("p90", [90]),
          attached("all"),
        ],
        consumers: { team: [attached("team")], quiet: [attached("q90", [90])] },
      },
      clusterset: { producer: [attached("set")], consumers: {} },
    };
    const settings = { timeouts: { requestMs: 9_000, idleMs: 60_000 }, retry: { limit: 1 }, affinitySeconds: 60 };
    const own = local("web", {
      ports: [http, { ...http, name: "two", port: 90 }],
      settings: { ...settings, preferZone: true, maxConnectionAgeMs: 5_000 },
      export: { to: "all", clusterset: true, exportedAtMs: 1 },
    });
    const routed = catalog([own], [remote("east", { settings })], {
      routes: (key) => (key === "shop/web" ? all : undefined),
    });
    const names = (authority: string, client?: string) => {
      const found = ask(authority, routed, client);
      return found.kind === "service" ? found.routes.map(({ name }) => name) : found.kind;
    };
    assert.deepEqual(names("web:80"), ["p80", "all"]);
    assert.deepEqual(names("web:90", "other"), ["p90", "all"]);
    assert.deepEqual(names("127.20.128.9:80"), ["p80", "all"]);
    assert.deepEqual(names("127.20.128.9:80", "team"), ["team"]);
    assert.deepEqual(names("web:80", "team"), ["team"]);
    assert.deepEqual(names("web:80", "quiet"), []);
    assert.deepEqual(names("web:80", "__proto__"), ["p80", "all"]);
    assert.deepEqual(names("web.shop.svc.clusterset.local:80", "team"), ["set"]);
    assert.deepEqual(names("web-east:80"), []);
    assert.deepEqual(names("127.20.1.1:8080"), []);

    const found = ask("web:80", routed);
    assert.ok(found.kind === "service");
    assert.deepEqual(found.routes[0]?.timeouts, { requestMs: 1_000, idleMs: 60_000 });
    assert.deepEqual(found.routes[0]?.retry, { limit: 1, httpStatuses: [503] });
    assert.deepEqual([found.routes[1]?.timeouts, found.routes[1]?.retry], [undefined, undefined]);
    assert.deepEqual(found.timeouts, settings.timeouts);
    assert.deepEqual([found.affinitySeconds, found.preferZone, found.maxConnectionAgeMs], [60, true, 5_000]);
    const mirror = ask("web-east:80", routed);
    assert.ok(mirror.kind === "service");
    assert.deepEqual([mirror.timeouts, mirror.retry, mirror.affinitySeconds], [settings.timeouts, settings.retry, 60]);
  });

  it("tells an unknown service or port from a name outside", () => {
    const none = catalog([local("web")], []);
    assert.equal(ask("gone.shop.svc.cluster.local:80", none).kind, "notFound");
    assert.equal(ask("web:81", none).kind, "notFound");
    assert.equal(ask("example.com:80", none).kind, "external");
  });

  it("treats well-known server-first ports as opaque", () => {
    const db = local("db", { ports: [{ ...http, port: 5432, appProtocol: "" }] });
    const found = ask("db:5432", catalog([db], []));
    assert.ok(found.kind === "service");
    assert.equal(found.appProtocol, "opaque");
  });
});

describe("inboundPorts()", () => {
  const peers = [
    { cluster: "east", trustDomain: parseTrustDomain("east.mesh") },
    { cluster: "north", trustDomain: parseTrustDomain("north.mesh") },
  ];
  it("lets in only peers to which a service with the port is exported", () => {
    const service = local("web", { export: { to: ["east"], clusterset: true, exportedAtMs: 1 } });
    const ports = inboundPorts("127.20.1.1", identity, peers, catalog([service], []));
    assert.deepEqual(
      ports.map((p) => [p.port, p.peerTrustDomains]),
      [[8080, ["east.mesh"]]],
    );
  });
  it("lets in no peer where nothing is exported", () => {
    const ports = inboundPorts("127.20.1.1", identity, peers, catalog([local("web")], []));
    assert.deepEqual(
      ports.map((p) => p.peerTrustDomains),
      [[]],
    );
  });
  it("holds to the stricter limits of two services, and takes the Pod's own socket first", () => {
    const web = local("web", {
      limits: { ratePerClient: 100, inFlight: 10 },
      appSockets: { "8080": "/run/service.sock", "9": "/run/other.sock" },
    });
    const api = local("api", { limits: { ratePerClient: 50, burst: 5 } });
    const both: Partial<Catalog> = { servicesAt: () => ["shop/web", "shop/api"], localEndpoints: () => endpoints };
    const limits = (services: LocalService[], extra: Partial<Catalog> = {}) =>
      inboundPorts("127.20.1.1", identity, peers, catalog(services, [], extra)).map((p) => [
        p.rateLimit,
        p.rateBurst,
        p.maxInFlight,
        p.appSocket,
      ]);
    assert.deepEqual(limits([local("web")]), [[0, 0, 0, ""]]);
    assert.deepEqual(limits([web]), [[100, 100, 10, "/run/service.sock"]]);
    assert.deepEqual(limits([web, api], both), [[50, 5, 10, "/run/service.sock"]]);
    const [endpoint] = endpoints.endpoints;
    const pod = { ...endpoint, appSockets: { "8080": "/run/pod.sock" } } as LocalEndpoints["endpoints"][number];
    const own: Partial<Catalog> = { localEndpoints: () => ({ ...endpoints, endpoints: [pod] }) };
    assert.deepEqual(limits([web], own), [[100, 100, 10, "/run/pod.sock"]]);
  });

  it("tells a workload nothing of an address that is another's", () => {
    const other = parseIdentity("spiffe://west.mesh/ns/shop/sa/client");
    assert.deepEqual(inboundPorts("127.20.1.1", other, peers, catalog([local("web")], [])), []);
  });
});
