import { deepEqual, equal, match, ok } from "node:assert/strict";
import type { RouteObject } from "../kube/gateway-api.ts";
import { DiscoveryWatch } from "./support/discovery-watch.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";

const ROUTES = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: canary, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: web }]
  rules:
    - matches: [{ path: { value: /api } }]
      filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: X-Canary, value: "1" }] } }]
      backendRefs: [{ name: web, port: 80, weight: 90 }, { name: web-east, port: 80, weight: 10 }]
      timeouts: { request: 2s }
    - matches: [{ headers: [{ name: x-go, value: east }] }]
      backendRefs: [{ name: web-east, port: 80 }]
    - matches: [{ path: { value: /moved } }]
      filters: [{ type: RequestRedirect, requestRedirect: { hostname: new.example, statusCode: 301 } }]
    - backendRefs: [{ name: gone, port: 80 }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: calls, namespace: shop, annotations: { retry.causeway.dev/grpc: unavailable } }
spec:
  parentRefs: [{ group: multicluster.x-k8s.io, kind: ServiceImport, name: web }]
  rules: [{ matches: [{ method: { service: shop.Web } }] }]
---
apiVersion: v1
kind: Namespace
metadata: { name: team }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: client, namespace: team }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: mine, namespace: team }
spec:
  parentRefs: [{ group: "", kind: Service, name: web, namespace: shop }]
  rules: [{ name: slow, timeouts: { request: 60s } }]
`;

describe("routes on local clusters", () => {
  let mesh: LocalMesh;

  before(async () => {
    mesh = await LocalMesh.start();
    await mesh.kubectl("east", "-n", "shop", "annotate", "service", "web", "timeout.causeway.dev/request=5s");
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    await mesh.serviceThere("west", "web-east");
    await mesh.kubectlApply("west", ROUTES);
  });

  after(async () => {
    await mesh?.stop();
  });

  const conditions = async (kind: string, name: string, namespace = "shop") => {
    return await reached(`${kind} ${name} has a status`, async () => {
      const route = await mesh.json<RouteObject>("west", "-n", namespace, kind, name);
      const [ours] = (route.status?.parents ?? []).filter((p) => p.controllerName === "causeway.dev/controller");
      return ours?.conditions?.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
    });
  };

  it("are listed by kubectl, and say what became of them", async () => {
    match(await mesh.kubectl("west", "-n", "shop", "get", "httproutes"), /^NAME +HOSTNAMES +AGE\ncanary/);
    deepEqual(await conditions("httproute", "canary"), [
      "Accepted=True Accepted",
      "ResolvedRefs=False BackendNotFound",
    ]);
    deepEqual(await conditions("grpcroute", "calls"), ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"]);
    deepEqual(await conditions("httproute", "mine", "team"), [
      "Accepted=True Accepted",
      "ResolvedRefs=True ResolvedRefs",
    ]);
  });

  it("reach the proxies of the namespaces that they are for", async () => {
    await using shop = await DiscoveryWatch.open(mesh, "west", "shop");
    await using team = await DiscoveryWatch.open(mesh, "west", "team");
    const { routes } = await shop.service("web:80", (s) => s.routes.length === 4);
    deepEqual(
      routes.map(({ name, backends }) => [name, ...backends.map(({ authority, weight }) => `${weight} ${authority}`)]),
      [
        ["HTTPRoute/shop/canary/2"],
        ["HTTPRoute/shop/canary/0", "90 web.shop.svc.cluster.local:80", "10 web-east.shop.svc.cluster.local:80"],
        ["HTTPRoute/shop/canary/1", "1 web-east.shop.svc.cluster.local:80"],
        ["HTTPRoute/shop/canary/3", "1 "],
      ],
    );
    deepEqual(routes[1]?.matches[0]?.path, { kind: "KIND_PREFIX", value: "/api" });
    equal(routes[1]?.timeouts?.requestMs, 2_000);
    deepEqual(routes[1]?.filters[0]?.requestHeaders?.set, [{ name: "x-canary", value: "1" }]);
    const theirs = await team.service("web.shop:80", (s) => s.routes.length === 1);
    deepEqual([theirs.routes[0]?.name, theirs.routes[0]?.timeouts?.requestMs], ["HTTPRoute/team/mine/slow", 60_000]);
    const grpc = await shop.service("web.shop.svc.clusterset.local:80", (s) => s.routes.length === 1);
    deepEqual([grpc.federated, grpc.routes[0]?.grpc, grpc.routes[0]?.retry?.grpcStatuses], [true, true, [14]]);
    await mesh.kubectl("west", "-n", "team", "delete", "httproute", "mine");
    await team.service("web.shop:80", (s) => s.routes.length === 4);
  });

  it("send a caller's requests to other clusters and elsewhere, and answer 500 for what is not there", async () => {
    await mesh.answered("west", "web-east", "east");
    const head = async (path: string) => (await mesh.curl("west", `http://web${path}`, "--head")).stdout;
    await reached("a redirect", async () =>
      /^HTTP\/1.1 301 .*\r\nlocation: http:\/\/new.example\/moved\/x\r\n/is.test(await head("/moved/x")),
    );
    match(await head("/elsewhere"), /^HTTP\/1.1 500 /);
    const east = await mesh.whoami("west", "web", "--header", "x-go: east");
    equal(east.cluster, "east");
  });

  it("leave mirrors with the settings of their origin, also where only their address is known", async () => {
    await using watch = await DiscoveryWatch.open(mesh, "west", "shop");
    const byName = await watch.service("web-east:80", (s) => s.timeouts !== null);
    equal(byName.timeouts?.requestMs, 5_000);
    const address = async (...args: string[]) => await mesh.kubectl("west", "-n", "shop", "get", ...args);
    const ip = await address("service", "web-east", "-o", "jsonpath={.spec.clusterIP}");
    const byAddress = await watch.service(`${ip}:80`, (s) => s.kind === "KIND_SERVICE");
    deepEqual({ ...byAddress, authority: "" }, { ...byName, authority: "" });
    const set = await address("serviceimport", "web", "-o", "jsonpath={.spec.ips[0]}");
    const federated = await watch.service(`${set}:80`, (s) => s.kind === "KIND_SERVICE");
    ok(federated.federated && federated.groups.some(({ cluster }) => cluster === "east"), JSON.stringify(federated));
  });

  it("come with settings of Services, and an Event says which of those mean nothing", async () => {
    await using watch = await DiscoveryWatch.open(mesh, "west", "shop");
    const settings = ["balancer.causeway.dev/max-connection-age=1m", "retry.causeway.dev/limit=many"];
    await mesh.kubectl("west", "-n", "shop", "annotate", "service", "web", ...settings);
    await watch.service("web:80", (s) => s.maxConnectionAgeMs === 60_000);
    await reached("the Event is there", async () => {
      const events = await mesh.kubectl("west", "-n", "shop", "get", "events");
      return /SettingRefused.*retry\.causeway\.dev\/limit is "many", want a whole number from 0 to 10/.test(events);
    });
  });
});
