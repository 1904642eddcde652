import assert from "node:assert/strict";
import type { ServiceKey } from "../../core/service.ts";
import type { ReferenceGrant, RouteFilterSpec, RouteObject } from "../../kube/gateway-api.ts";
import type { KubeService, ServiceImportObject } from "../../kube/resources.ts";
import { kubeService } from "../../test/support/mirror-world.ts";
import { grpcRoute, httpRoute, referenceGrant } from "../../test/support/route-world.ts";
import { planRoutes } from "./route-plan.ts";

const web: ServiceKey = "shop/web";

interface Cluster {
  readonly grants?: readonly ReferenceGrant[];
  readonly services?: readonly KubeService[];
  readonly imports?: readonly ServiceImportObject[];
}

function serviceImport(namespace: string, name: string): ServiceImportObject {
  return {
    apiVersion: "multicluster.x-k8s.io/v1alpha1",
    kind: "ServiceImport",
    metadata: { namespace, name },
    spec: { type: "ClusterSetIP", ports: [{ name: "http", port: 80 }] },
  };
}

const names = ["web", "web-v2", "web-east"];
const standard = [...names.map((name) => kubeService("shop", name)), kubeService("other", "web")];

function plan(routes: readonly RouteObject[], { grants = [], services = standard, imports = [] }: Cluster = {}) {
  const find = <T extends { metadata: { namespace?: string; name: string } }>(all: readonly T[]) => {
    return (namespace: string, name: string) =>
      all.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  };
  return planRoutes({ routes, grants, service: find(services), serviceImport: find(imports) });
}

/** The rules for all clients of Service shop/web, or for those of namespace `client`. */
function rules(routes: readonly RouteObject[], cluster?: Cluster, client = "") {
  const set = plan(routes, cluster).services.get(web)?.service;
  return ((client === "" ? set?.producer : set?.consumers[client]) ?? []).map(({ rule }) => rule);
}

/** "<type>=<status> <reason>: <message>" of what is said of the one parent of `route`. */
function said(route: RouteObject, cluster?: Cluster, others: readonly RouteObject[] = []): string[] {
  const [verdict] = plan([...others, route], cluster).verdicts.get(route) ?? [];
  return (verdict?.conditions ?? []).map(
    ({ type, status, reason, message }) => `${type}=${status} ${reason}${message && `: ${message}`}`,
  );
}

const backend = (name: string, over: object = {}) => ({ name, port: 80, ...over });
const fine = ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"];
const path = (type: string, value: string) => ({ path: { type, value } });
const header = (...all: string[]) => ({ headers: all.map((name) => ({ name, value: "1" })) });
const query = (...all: string[]) => ({ queryParams: all.map((name) => ({ name, value: "1" })) });

describe("planRoutes() orders", () => {
  const order: [better: object, worse: object, why: string][] = [
    [path("Exact", "/a"), path("PathPrefix", "/a/longer/prefix"), "an exact path before any prefix"],
    [path("RegularExpression", "/a"), path("PathPrefix", "/a/longer"), "a regular expression before any prefix"],
    [path("Exact", "/a"), path("RegularExpression", "/a.*"), "an exact path before a regular expression"],
    [path("PathPrefix", "/a/b"), path("PathPrefix", "/a"), "a longer prefix before a shorter one"],
    [path("PathPrefix", "/a"), { method: "GET", ...header("x", "y") }, "any prefix before none"],
    [{ method: "GET" }, header("x", "y", "z"), "a method before headers"],
    [header("x", "y"), { ...header("x"), ...query("a", "b", "c") }, "more headers before more query parameters"],
    [query("a", "b"), query("a"), "more query parameters before fewer"],
    [path("PathPrefix", "/a/"), path("PathPrefix", "/"), "a prefix without its trailing slash"],
  ];
  for (const [better, worse, why] of order) {
    it(why, () => {
      for (const matches of [
        [better, worse],
        [worse, better],
      ]) {
        const route = httpRoute(
          "shop",
          "r",
          matches.map((match) => ({ name: match === better ? "better" : "worse", matches: [match] })),
        );
        assert.deepEqual(
          rules([route]).map(({ name }) => name),
          ["HTTPRoute/shop/r/better", "HTTPRoute/shop/r/worse"],
        );
      }
    });
  }

  it("the oldest route first, then by name, then by the rules' order within it", () => {
    const rule = (name: string) => ({ name, matches: [path("Exact", "/a")] });
    const routes = [
      httpRoute("shop", "c", [rule("c1")], { createdAt: "2026-01-03T00:00:00Z" }),
      httpRoute("shop", "b", [rule("b1"), rule("b2")]),
      httpRoute("shop", "a", [rule("a1")]),
      httpRoute("shop", "old", [rule("old1")], { createdAt: "2025-01-01T00:00:00Z" }),
    ];
    const wanted = ["old/old1", "a/a1", "b/b1", "b/b2", "c/c1"].map((name) => `HTTPRoute/shop/${name}`);
    assert.deepEqual(
      rules(routes).map(({ name }) => name),
      wanted,
    );
    assert.deepEqual(
      rules(routes.toReversed()).map(({ name }) => name),
      wanted,
    );
  });

  it("each match of a rule by itself, neighbours together", () => {
    const route = httpRoute("shop", "r", [
      { name: "split", matches: [path("PathPrefix", "/a"), path("Exact", "/x"), path("Exact", "/y")] },
      { name: "between", matches: [path("PathPrefix", "/a/b")] },
      { name: "rest" },
    ]);
    assert.deepEqual(
      rules([route]).map(({ name, matches }) => [name.split("/")[3], matches.map((m) => m.path?.value)]),
      [
        ["split", ["/x", "/y"]],
        ["between", ["/a/b"]],
        ["split", ["/a"]],
        ["rest", []],
      ],
    );
  });

  it("gRPC before HTTP, by service, method and headers", () => {
    const method = (service?: string, name?: string) => ({
      method: { ...(service ? { service } : {}), ...(name ? { method: name } : {}) },
    });
    const grpc = grpcRoute("shop", "g", [
      { matches: [{}] },
      { matches: [method("shop.Cart")] },
      { matches: [method(undefined, "Get")] },
      { matches: [method("shop.Cart", "Get")] },
      { matches: [{ ...method("shop.Cart", "Get"), headers: [{ name: "X-Canary", value: "1" }] }] },
      { matches: [{ method: { type: "RegularExpression", service: "shop\\..*" } }] },
    ]);
    const found = rules([httpRoute("shop", "h", [{ matches: [path("Exact", "/a")] }]), grpc]);
    assert.deepEqual(
      found.map(({ name, matches, grpc: isGrpc }) => [name.split("/").at(-1), isGrpc, matches[0]?.path]),
      [
        ["4", true, { kind: "exact", value: "/shop.Cart/Get" }],
        ["3", true, { kind: "exact", value: "/shop.Cart/Get" }],
        ["1", true, { kind: "prefix", value: "/shop.Cart" }],
        ["5", true, { kind: "regex", value: "/(?:shop\\..*)/[^/]+" }],
        ["2", true, { kind: "regex", value: "/[^/]+/Get" }],
        ["0", true, undefined],
        ["0", false, { kind: "exact", value: "/a" }],
      ],
    );
    assert.deepEqual(found[0]?.matches[0]?.headers, [{ name: "x-canary", value: { kind: "exact", value: "1" } }]);
  });
});

describe("planRoutes() attaches", () => {
  const parent = (over: object) => ({ parentRefs: [{ group: "", kind: "Service", name: "web", ...over }] });

  it("a route of the service's namespace for all, one of another for the clients in it", () => {
    const producer = httpRoute("shop", "p", [{}]);
    const consumer = httpRoute("team", "c", [{}], parent({ namespace: "shop" }));
    assert.deepEqual(
      rules([producer, consumer]).map(({ name }) => name),
      ["HTTPRoute/shop/p/0"],
    );
    assert.deepEqual(
      rules([producer, consumer], {}, "team").map(({ name }) => name),
      ["HTTPRoute/team/c/0"],
    );
    assert.deepEqual(said(consumer), fine);
  });

  it("to the ports that a parent names, by number or name, and to all where one names none", () => {
    const services = [
      kubeService("shop", "web", {
        spec: {
          ports: [
            { name: "http", port: 80 },
            { name: "grpc", port: 90 },
            { name: "dns", port: 53, protocol: "UDP" },
          ],
        },
      }),
    ];
    const cases: [object[], number[] | undefined][] = [
      [[{}], []],
      [[{ port: 90 }], [90]],
      [[{ sectionName: "http" }], [80]],
      [
        [{ port: 90 }, { sectionName: "http" }],
        [80, 90],
      ],
      [[{ port: 90 }, {}], []],
      [[{ port: 81 }], undefined],
      [[{ port: 53 }], undefined],
      [[{ port: 90, sectionName: "http" }], undefined],
    ];
    for (const [refs, ports] of cases) {
      const parentRefs = refs.map((ref) => ({ group: "", kind: "Service", name: "web", ...ref }));
      const route = httpRoute("shop", "r", [{}], { parentRefs });
      const found = plan([route], { services }).services.get(web)?.service.producer[0]?.ports;
      assert.deepEqual(found, ports, JSON.stringify(refs));
      const [accepted] = said(route, { services });
      assert.match(accepted ?? "", ports === undefined ? /False NoMatchingParent/ : /True Accepted/);
    }
  });

  it("nothing to a parent that does not exist, and says nothing of a Gateway", () => {
    const route = httpRoute("shop", "r", [{}], parent({ name: "gone" }));
    assert.deepEqual(plan([route]).services.size, 0);
    assert.match(said(route)[0] ?? "", /Accepted=False NoMatchingParent: There is no Service shop\/gone/);
    const gateway = httpRoute("shop", "r", [{}], { parentRefs: [{ name: "gateway" }] });
    assert.deepEqual(plan([gateway]).verdicts.get(gateway), []);
  });

  it("to mirrors and to ServiceImports, apart from the Service of the same name", () => {
    const imports = [serviceImport("shop", "web")];
    const onMirror = httpRoute("shop", "m", [{}], parent({ name: "web-east" }));
    const onImport = httpRoute("shop", "i", [{}], parent({ group: "multicluster.x-k8s.io", kind: "ServiceImport" }));
    const { services } = plan([onMirror, onImport], { imports });
    assert.equal(services.get("shop/web-east")?.service.producer[0]?.rule.name, "HTTPRoute/shop/m/0");
    assert.equal(services.get(web)?.clusterset.producer[0]?.rule.name, "HTTPRoute/shop/i/0");
    assert.deepEqual(services.get(web)?.service.producer, []);
  });

  it("no route beyond the limits, the newest being left out", () => {
    const many = (name: string, createdAt: string) =>
      httpRoute(
        "shop",
        name,
        Array.from({ length: 40 }, (_, i) => ({ matches: [path("Exact", `/${i}`)] })),
        { createdAt },
      );
    const older = many("older", "2026-01-01T00:00:00Z");
    const newer = many("newer", "2026-01-02T00:00:00Z");
    assert.equal(rules([newer, older]).length, 40);
    assert.match(said(newer, {}, [older])[0] ?? "", /Accepted=False UnsupportedValue: .*more than 64 rules/);
    assert.deepEqual(said(older, {}, [newer]), fine);
    const big = httpRoute("shop", "big", [
      {
        matches: Array.from({ length: 64 }, (_, i) => path("Exact", `/${i}`)),
        filters: [
          {
            type: "RequestHeaderModifier",
            requestHeaderModifier: {
              set: Array.from({ length: 16 }, (_, i) => ({ name: `x-${i}`, value: "v".repeat(1_000) })),
            },
          },
        ],
      },
    ]);
    assert.match(said(big)[0] ?? "", /Accepted=False UnsupportedValue: .*bytes of rules/);
  });
});

describe("planRoutes() sends", () => {
  const to = (...backendRefs: object[]) => httpRoute("shop", "r", [{ backendRefs: backendRefs as never[] }]);

  it("to Services, mirrors and ServiceImports by weight", () => {
    const route = to(
      backend("web", { weight: 90 }),
      backend("web-east", { weight: 9 }),
      backend("web", { group: "multicluster.x-k8s.io", kind: "ServiceImport" }),
      backend("web-v2", { weight: 0 }),
    );
    const cluster = { imports: [serviceImport("shop", "web")] };
    assert.deepEqual(
      rules([route], cluster)[0]?.backends.map(({ authority, weight }) => `${weight} ${authority}`),
      [
        "90 web.shop.svc.cluster.local:80",
        "9 web-east.shop.svc.cluster.local:80",
        "1 web.shop.svc.clusterset.local:80",
      ],
    );
    assert.deepEqual(said(route, cluster), fine);
  });

  it("to the service itself without backends, and nowhere where all weigh nothing", () => {
    assert.deepEqual(rules([to()])[0]?.backends, []);
    assert.deepEqual(rules([to(backend("web", { weight: 0 }))])[0]?.backends, [
      { authority: "", weight: 1, filters: [] },
    ]);
  });

  const broken: [object, string][] = [
    [backend("gone"), "BackendNotFound: Backend shop/gone: no Service shop/gone."],
    [backend("web", { port: 81 }), "BackendNotFound: Backend shop/web has no TCP port 81."],
    [{ name: "web" }, "BackendNotFound: Backend shop/web has no TCP port (none is named)."],
    [backend("web", { kind: "Bucket", group: "example.com" }), "InvalidKind: Backend web is a Bucket.example.com"],
    [backend("web", { namespace: "other" }), "RefNotPermitted: No ReferenceGrant in other"],
    [backend("ext"), "BackendNotFound: Backend shop/ext: Service shop/ext is an ExternalName."],
  ];
  for (const [ref, why] of broken) {
    it(`the share of ${JSON.stringify(ref)} nowhere: ${why}`, () => {
      const services = [...standard, kubeService("shop", "ext", { spec: { type: "ExternalName" } })];
      const route = to(backend("web"), ref);
      assert.deepEqual(
        rules([route], { services })[0]?.backends.map(({ authority }) => authority),
        ["web.shop.svc.cluster.local:80", ""],
      );
      const [accepted, resolved = ""] = said(route, { services });
      assert.equal(accepted, "Accepted=True Accepted");
      assert.ok(resolved.startsWith(`ResolvedRefs=False ${why}`), resolved);
    });
  }

  it("to another namespace where a ReferenceGrant there lets it", () => {
    const route = to(backend("web", { namespace: "other" }));
    const from = { kind: "HTTPRoute", namespace: "shop" };
    const cases: [ReferenceGrant, boolean][] = [
      [referenceGrant("other", from), true],
      [referenceGrant("other", from, { name: "web" }), true],
      [referenceGrant("other", from, { name: "db" }), false],
      [referenceGrant("other", { ...from, kind: "GRPCRoute" }), false],
      [referenceGrant("other", { ...from, namespace: "team" }), false],
      [referenceGrant("other", from, { group: "multicluster.x-k8s.io", kind: "ServiceImport" }), false],
      [referenceGrant("shop", from), false],
    ];
    for (const [grant, granted] of cases) {
      const found = rules([route], { grants: [grant] })[0]?.backends[0]?.authority;
      assert.equal(found, granted ? "web.other.svc.cluster.local:80" : "", JSON.stringify(grant.spec));
    }
  });
});

describe("planRoutes() reads", () => {
  const filtered = (...filters: RouteFilterSpec[]) =>
    httpRoute("shop", "r", [{ matches: [path("PathPrefix", "/old")], filters, backendRefs: [backend("web")] }]);

  it("all filters of Gateway API's core", () => {
    const headers = { set: [{ name: "X-A", value: "1" }], add: [{ name: "x-b", value: "2" }], remove: ["X-C"] };
    const changed = { set: [{ name: "x-a", value: "1" }], add: [{ name: "x-b", value: "2" }], remove: ["x-c"] };
    const route = filtered(
      { type: "RequestHeaderModifier", requestHeaderModifier: headers },
      { type: "ResponseHeaderModifier", responseHeaderModifier: headers },
      {
        type: "URLRewrite",
        urlRewrite: { hostname: "v2.example", path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/new" } },
      },
      { type: "RequestMirror", requestMirror: { backendRef: backend("web-v2") } },
      { type: "RequestMirror", requestMirror: { backendRef: backend("web-east"), percent: 5 } },
      {
        type: "RequestMirror",
        requestMirror: { backendRef: backend("web-east"), fraction: { numerator: 1, denominator: 1_000 } },
      },
    );
    const mirror = (name: string, numerator: number, denominator: number) => ({
      kind: "mirror",
      authority: `${name}.shop.svc.cluster.local:80`,
      numerator,
      denominator,
    });
    assert.deepEqual(rules([route])[0]?.filters, [
      { kind: "requestHeaders", headers: changed },
      { kind: "responseHeaders", headers: changed },
      { kind: "rewrite", host: "v2.example", path: { kind: "prefix", value: "/new" } },
      mirror("web-v2", 100, 100),
      mirror("web-east", 5, 100),
      mirror("web-east", 1, 1_000),
    ]);
    assert.deepEqual(said(route), fine);
  });

  it("redirects, with the port of a new scheme", () => {
    const cases: [object, object][] = [
      [{}, { scheme: "", host: "", port: 0, status: 302 }],
      [
        { scheme: "https", statusCode: 301 },
        { scheme: "https", host: "", port: 443, status: 301 },
      ],
      [
        { hostname: "a.example", port: 8_080, path: { type: "ReplaceFullPath", replaceFullPath: "/new" } },
        { scheme: "", host: "a.example", port: 8_080, status: 302, path: { kind: "full", value: "/new" } },
      ],
    ];
    for (const [requestRedirect, wanted] of cases) {
      const route = filtered({ type: "RequestRedirect", requestRedirect });
      assert.deepEqual(rules([route])[0]?.filters, [{ kind: "redirect", ...wanted }]);
    }
  });

  const unsupported: [string, RouteFilterSpec][] = [
    ["ExtensionRef", { type: "ExtensionRef" }],
    ["CORS", { type: "CORS" }],
    ["a redirect with a status that is none", { type: "RequestRedirect", requestRedirect: { statusCode: 399 } }],
    [
      "framing headers",
      { type: "RequestHeaderModifier", requestHeaderModifier: { set: [{ name: "Content-Length", value: "1" }] } },
    ],
    [
      "headers of the mesh",
      { type: "RequestHeaderModifier", requestHeaderModifier: { remove: ["x-causeway-client-id"] } },
    ],
    [
      "a header's value with a line break",
      { type: "ResponseHeaderModifier", responseHeaderModifier: { add: [{ name: "x", value: "a\r\nb: c" }] } },
    ],
  ];
  for (const [what, filter] of unsupported) {
    it(`${what} as unsupported: the rule answers 500, the others go on`, () => {
      const route = httpRoute("shop", "r", [
        { filters: [filter], backendRefs: [backend("web")] },
        { matches: [path("Exact", "/fine")], backendRefs: [backend("web")] },
      ]);
      const [fineRule, brokenRule] = rules([route]);
      assert.equal(fineRule?.backends[0]?.authority, "web.shop.svc.cluster.local:80");
      assert.deepEqual([brokenRule?.filters, brokenRule?.backends[0]?.authority], [[], ""]);
      assert.match(said(route)[0] ?? "", /^Accepted=False UnsupportedValue: Rule 0: it answers 500/);
    });
  }

  it("a regular expression outside of the subset as a match that is left out", () => {
    const matches = [path("RegularExpression", "/(a)\\1"), path("Exact", "/a")];
    const route = httpRoute("shop", "r", [{ matches }, { matches: [path("RegularExpression", "(")] }]);
    const found = rules([route]);
    assert.deepEqual(
      found.map((rule) => rule.matches.map((m) => m.path?.value)),
      [["/a"]],
    );
    assert.match(said(route)[0] ?? "", /Accepted=False UnsupportedValue: Rule 0: the match is left out: .*\\1/);
  });

  it("a mirror to what does not exist as none", () => {
    const route = filtered({ type: "RequestMirror", requestMirror: { backendRef: backend("gone") } });
    assert.deepEqual(rules([route])[0]?.filters, []);
    assert.match(said(route)[1] ?? "", /ResolvedRefs=False BackendNotFound/);
  });

  it("timeouts and retries of a rule before those of the route's annotations", () => {
    const annotations = {
      "timeout.causeway.dev/request": "30s",
      "timeout.causeway.dev/idle": "1m",
      "retry.causeway.dev/grpc": "unavailable,4",
      "retry.causeway.dev/limit": "1",
    };
    const route = httpRoute(
      "shop",
      "r",
      [
        {
          name: "own",
          matches: [path("Exact", "/a")],
          timeouts: { request: "2s", backendRequest: "500ms" },
          retry: { codes: [503, 500], attempts: 3, backoff: "50ms" },
        },
        { name: "annotated", timeouts: { request: "0s" } },
      ],
      { annotations },
    );
    const [own, annotated] = rules([route]);
    assert.deepEqual(own?.timeouts, { requestMs: 2_000, tryMs: 500, idleMs: 60_000 });
    assert.deepEqual(own?.retry, { limit: 3, httpStatuses: [500, 503], grpcStatuses: [4, 14], backoffMs: 50 });
    assert.deepEqual(annotated?.timeouts, { requestMs: 0, idleMs: 60_000 });
    assert.deepEqual(annotated?.retry, { limit: 1, grpcStatuses: [4, 14] });
    assert.deepEqual(said(route), fine);
  });

  it("settings that mean nothing as not there, and says so", () => {
    const annotations = { "timeout.causeway.dev/request": "soon" };
    const route = httpRoute("shop", "r", [{ timeouts: { request: "1d" } }], { annotations });
    assert.equal(rules([route])[0]?.timeouts, undefined);
    const [accepted = ""] = said(route);
    assert.match(accepted, /^Accepted=True Accepted: Not applied: timeout.causeway.dev\/request is "soon", want/);
    assert.match(accepted, /Rule 0: timeouts.request is "1d"/);
  });
});
