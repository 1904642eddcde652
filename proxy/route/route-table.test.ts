import assert from "node:assert/strict";
import { seededRandom } from "../../core/random.ts";
import type { RouteMatch, RouteRule } from "../../core/route.ts";
import { createHead, parseRequestHead } from "../http1/head.ts";
import { FieldsView } from "./fields-view.ts";
import { Http1View } from "./http1-view.ts";
import type { RequestView } from "./request-view.ts";
import { choosePlan, type RouteSpec, RouteTable } from "./route-table.ts";

const head = createHead();
const http1 = new Http1View();
const http2 = new FieldsView();

interface Given {
  readonly method?: string;
  readonly target?: string;
  readonly headers?: readonly (readonly [string, string])[];
}

/** The same request as HTTP/1.1 and as HTTP/2. */
function views({ method = "GET", target = "/", headers = [] }: Given): RequestView[] {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const b = Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: web.shop\r\n${lines}\r\n`, "latin1");
  assert.ok(parseRequestHead(head, b, 0, b.length) > 0);
  const fields = headers.map(([name, value]) => ({ name: name.toLowerCase(), value }));
  const pseudo = [
    { name: ":method", value: method },
    { name: ":path", value: target },
    { name: ":authority", value: "web.shop" },
  ];
  return [http1.look(head, b, head.targetStart, head.targetEnd), http2.look([...pseudo, ...fields])];
}

function rule(name: string, matches: readonly Partial<RouteMatch>[], more: Partial<RouteRule> = {}): RouteSpec {
  const all = matches.map((match) => ({ method: "", headers: [], query: [], ...match }));
  return { name, matches: all, filters: [], backends: [], grpc: false, ...more, timeouts: undefined, retry: undefined };
}

function matched(rules: readonly RouteSpec[], given: Given): string | undefined {
  const table = new RouteTable(rules, () => 0);
  const [one, two] = views(given).map((view) => table.find(view)?.route.name);
  assert.equal(one, two, "HTTP/1.1 and HTTP/2 disagree");
  return one;
}

describe("RouteTable.find()", () => {
  it("matches a prefix by whole segments, and an exact path wholly, the query aside", () => {
    const rules = [
      rule("exact", [{ path: { kind: "exact", value: "/foo" } }]),
      rule("prefix", [{ path: { kind: "prefix", value: "/foo/" } }]),
    ];
    const by = (target: string) => matched(rules, { target });
    assert.deepEqual(["/foo", "/foo?a=/b", "/foo/", "/foo/bar?x"].map(by), ["exact", "exact", "prefix", "prefix"]);
    assert.deepEqual(["/foobar", "/", "/FOO"].map(by), [undefined, undefined, undefined]);
  });

  it("matches everything by the prefix / and by a rule without matches", () => {
    for (const rules of [[rule("all", [{ path: { kind: "prefix", value: "/" } }])], [rule("all", [])]])
      for (const target of ["/", "/a", "/?b"]) assert.equal(matched(rules, { target }), "all");
  });

  it("matches paths, headers and parameters by regular expressions, whole", () => {
    const rules = [
      rule("path", [{ path: { kind: "regex", value: "/v[0-9]+/.*" } }]),
      rule("header", [{ headers: [{ name: "x-user", value: { kind: "regex", value: "a.*z" } }] }]),
      rule("query", [{ query: [{ name: "v", value: { kind: "regex", value: "[ab]+" } }] }]),
    ];
    assert.equal(matched(rules, { target: "/v12/items" }), "path");
    assert.equal(matched(rules, { headers: [["X-User", "abcz"]] }), "header");
    assert.equal(matched(rules, { headers: [["X-User", "abczz!"]] }), undefined);
    assert.equal(matched(rules, { target: "/?v=ab" }), "query");
    assert.equal(matched(rules, { target: "/?v=abc" }), undefined);
  });

  it("wants all conditions of a match, and one match of a rule", () => {
    const rules = [
      rule("canary", [
        { method: "POST", headers: [{ name: "X-Canary", value: { kind: "exact", value: "yes" } }] },
        { method: "PUT" },
      ]),
    ];
    const canary: Given = { headers: [["x-canary", "yes"]] };
    assert.equal(matched(rules, { ...canary, method: "POST" }), "canary");
    assert.equal(matched(rules, canary), undefined);
    assert.equal(matched(rules, { method: "POST" }), undefined);
    assert.equal(matched(rules, { method: "PUT" }), "canary");
    assert.equal(matched(rules, { method: "put" }), undefined);
  });

  it("joins a header that comes several times by commas", () => {
    const rules = [rule("two", [{ headers: [{ name: "x-a", value: { kind: "exact", value: "1,2" } }] }])];
    const headers = [
      ["X-A", "1"],
      ["x-a", "2"],
    ] as const;
    assert.equal(matched(rules, { headers }), "two");
    assert.equal(matched(rules, { headers: [["x-a", "1"]] }), undefined);
  });

  it("decodes parameters and takes the first of several", () => {
    const rules = [rule("q", [{ query: [{ name: "a b", value: { kind: "exact", value: "ü" } }] }])];
    assert.equal(matched(rules, { target: "/?a+b=%C3%BC" }), "q");
    assert.equal(matched(rules, { target: "/?a%20b=x&a+b=%C3%BC" }), undefined);
    assert.equal(matched(rules, { target: "/?a+b=%C3%B" }), undefined);
  });

  it("takes the first rule that matches", () => {
    const rules = [rule("one", [{ method: "GET" }]), rule("two", [])];
    assert.equal(matched(rules, {}), "one");
    assert.equal(matched(rules, { method: "POST" }), "two");
  });

  it("has rules for gRPC match gRPC only", () => {
    const table = new RouteTable([rule("grpc", [], { grpc: true })], () => 0);
    const [one, two] = views({ headers: [["content-type", "application/grpc+proto"]] });
    assert.ok(one && two);
    assert.deepEqual([table.find(one), table.find(two)?.route.name], [undefined, "grpc"]);
  });

  it("has a rule whose expression is malformed match nothing", () => {
    assert.equal(matched([rule("bad", [{ path: { kind: "regex", value: "(" } }])], {}), undefined);
  });
});

describe("choosePlan()", () => {
  const weighted = (...weights: number[]) => {
    const backends = weights.map((weight, i) => ({ authority: `b${i}:80`, weight, filters: [] }));
    const [one] = views({});
    const route = one && new RouteTable([rule("r", [], { backends })], () => 0).find(one)?.route;
    assert.ok(route);
    return route;
  };

  it("shares out by weight, and gives nothing to weight 0", () => {
    const random = seededRandom(1);
    const route = weighted(90, 0, 10);
    const counts = new Map<string, number>();
    for (let i = 0; i < 1_000; i++) {
      const authority = choosePlan(route, random)?.authority ?? "none";
      counts.set(authority, (counts.get(authority) ?? 0) + 1);
    }
    assert.equal(counts.get("b1:80"), undefined);
    const canary = counts.get("b2:80") ?? 0;
    assert.ok(canary > 70 && canary < 130, String(canary));
  });

  it("gives to nobody where all weights are 0", () => {
    assert.equal(choosePlan(weighted(0, 0), Math.random), undefined);
  });

  it("puts the filters of rule and backend together", () => {
    const set = (name: string, value: string) => ({ set: [{ name, value }], add: [], remove: [] });
    const spec = rule("r", [], {
      filters: [
        { kind: "requestHeaders", headers: set("a", "rule") },
        { kind: "mirror", authority: "shadow:80", numerator: 1, denominator: 2 },
      ],
      backends: [
        {
          authority: "b:80",
          weight: 1,
          filters: [
            { kind: "requestHeaders", headers: { ...set("a", "backend"), remove: ["b"] } },
            { kind: "rewrite", host: "other" },
          ],
        },
      ],
    });
    const table = new RouteTable([spec], () => 0);
    const [one] = views({});
    const plan = one && choosePlan(table.find(one)?.route ?? weighted(0), Math.random);
    assert.ok(plan);
    assert.equal(plan.requestHeaders?.lines.toString(), "a: backend\r\n");
    assert.deepEqual(
      plan.requestHeaders?.dropped.map(({ text }) => text),
      ["a", "b"],
    );
    assert.deepEqual([plan.host?.text, plan.mirrors.length], ["other", 1]);
    assert.deepEqual([...table.authorities].sort(), ["b:80", "shadow:80"]);
  });
});
