import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { parseIdentity, parseTrustDomain } from "../core/identity.ts";
import type { LocalEndpoints, LocalService, RemoteEndpoints, RemoteService, ServiceKey } from "../core/service.ts";
import { parseAuthority } from "./authority.ts";
import type { Catalog } from "./catalog.ts";
import { inboundPorts } from "./inbound.ts";
import { resolve } from "./resolve.ts";

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
    serviceByClusterIp: (address) => (address === "127.20.128.9" ? ("shop/web" as ServiceKey) : undefined),
    ...extra,
  };
}

const ask = (authority: string, from: Catalog) => resolve(parseAuthority(authority, "shop"), from);

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
  it("tells a workload nothing of an address that is another's", () => {
    const other = parseIdentity("spiffe://west.mesh/ns/shop/sa/client");
    assert.deepEqual(inboundPorts("127.20.1.1", other, peers, catalog([local("web")], [])), []);
  });
});
