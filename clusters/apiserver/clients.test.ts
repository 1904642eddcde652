import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { get } from "node:https";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { startTestServer, type TestServer } from "./api-server-harness.ts";

const run = promisify(execFile);

const SHOP = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: app, image: "web:1", env: [{name: A, value: "1"}, {name: B, value: "2"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
`;

const NODE = { metadata: { name: "node" }, status: { conditions: [{ type: "Ready", status: "True" }] } };

/** Makes every bound pod Ready and ends those that are deleted, as a kubelet would: told of each change by a watch. */
async function playKubelet(api: TestServer, signal: AbortSignal): Promise<void> {
  await api.call("POST", "/api/v1/nodes", NODE);
  await api.call("PATCH", "/api/v1/nodes/node/status", NODE);
  let addresses = 0;
  for await (const { type, object } of watch(api, "/api/v1/pods?watch=1", signal)) {
    const { metadata, spec, status } = object;
    const url = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
    if (type === "DELETED") continue;
    if (metadata.deletionTimestamp !== undefined) await api.call("DELETE", url, { gracePeriodSeconds: 0 });
    else if (spec.nodeName !== undefined && status?.podIP === undefined) {
      const conditions = [{ type: "Ready", status: "True" }];
      await api.call("PATCH", `${url}/status`, {
        status: { phase: "Running", podIP: `127.20.1.${++addresses}`, conditions },
      });
    }
  }
}

/** The events of a watch, until `signal` ends it. */
async function* watch(api: TestServer, path: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
  const { url, caPem, admin } = api.server;
  const request = get(`${url}${path}`, {
    ca: caPem,
    agent: false,
    headers: { authorization: `Bearer ${admin.token}` },
    signal,
  });
  try {
    const [response] = (await once(request, "response")) as [IncomingMessage];
    for await (const line of createInterface({ input: response })) yield JSON.parse(line);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

interface WatchEvent {
  readonly type: string;
  // biome-ignore lint/suspicious/noExplicitAny: a Pod, of which it takes little
  readonly object: any;
}

describe("the local API server under real clients", function () {
  this.timeout(120_000);
  let api: TestServer;
  let kubeconfig: string;
  const kubelet = new AbortController();
  let playing: Promise<void>;

  before(async () => {
    api = await startTestServer();
    const { url, caPem, admin } = api.server;
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    kubeconfig = path.join(api.directory, "kubeconfig");
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster: { server: url, "certificate-authority-data": base64(caPem) } }],
      users: [
        {
          name: "u",
          user: { "client-certificate-data": base64(admin.certPem), "client-key-data": base64(admin.keyPem) },
        },
      ],
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      "current-context": "c",
    };
    writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
    playing = playKubelet(api, kubelet.signal);
  });
  after(async () => {
    kubelet.abort();
    await playing;
    await api.close();
  });

  const environment = () => ({ ...process.env, KUBECONFIG: kubeconfig, HOME: api.directory });
  const kubectl = async (...args: string[]) => (await run("kubectl", args, { env: environment() })).stdout;
  const apply = (yaml: string, ...args: string[]) => {
    const file = path.join(api.directory, "objects.yaml");
    writeFileSync(file, yaml);
    return kubectl("apply", "-f", file, ...args);
  };

  it("serves kubectl apply, rollout, scale, get and describe", async () => {
    assert.match(await apply(SHOP), /namespace\/shop created\ndeployment.apps\/web created\nservice\/web created/);
    await kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s");
    const changed = SHOP.replace("web:1", "web:2").replace('{name: B, value: "2"}', '{name: C, value: "3"}');
    assert.match(
      await apply(changed),
      /namespace\/shop unchanged\ndeployment.apps\/web configured\nservice\/web unchanged/,
    );
    assert.match(
      await kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s"),
      /successfully rolled out/,
    );
    const env = await kubectl(
      "-n",
      "shop",
      "get",
      "deployment",
      "web",
      "-o",
      "jsonpath={.spec.template.spec.containers[0].env[*].name}",
    );
    assert.equal(env, "A C");
    await kubectl("-n", "shop", "scale", "deployment", "web", "--replicas=3");
    await kubectl(
      "-n",
      "shop",
      "wait",
      "deployment/web",
      "--for=jsonpath={.status.availableReplicas}=3",
      "--timeout=60s",
    );
    assert.match(
      await kubectl("-n", "shop", "get", "deployments,services,endpointslices"),
      /deployment.apps\/web +3\/3 +3 +3 /,
    );
    const described = await kubectl("-n", "shop", "describe", "service", "web");
    assert.match(described, /Endpoints: +127\.20\.1\.\d+:8080,127\.20\.1\.\d+:8080/);
    assert.match(
      await kubectl("-n", "shop", "describe", "deployment", "web"),
      /3 desired \| 3 updated \| 3 total \| 3 available/,
    );
  });

  it("serves kubectl create, label, annotate, explain, strict validation and get --watch", async () => {
    await kubectl("create", "configmap", "settings", "--from-literal=a=b");
    await kubectl("label", "configmap", "settings", "tier=front");
    await kubectl("annotate", "configmap", "settings", "note=hello");
    assert.equal(
      await kubectl("get", "configmaps", "-l", "tier=front", "-o", "jsonpath={.items[*].metadata.annotations.note}"),
      "hello",
    );
    assert.match(
      await kubectl("explain", "deployment.spec.strategy.rollingUpdate"),
      /maxSurge\s+<IntOrString>|maxSurge/,
    );
    await assert.rejects(
      apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndatta: {}\n"),
      /unknown field "datta"/,
    );
    const watch = spawn("kubectl", ["get", "configmap", "settings", "-w"], { env: environment() });
    const rows: string[] = [];
    const seen = new Promise<void>((resolve) => {
      // By lines: what kubectl writes at once may come in pieces.
      createInterface({ input: watch.stdout }).on("line", (row) => {
        rows.push(row);
        if (rows.length === 2) void kubectl("patch", "configmap", "settings", "-p", '{"data":{"c":"d"}}');
        if (rows.length >= 3) resolve();
      });
    });
    await seen;
    watch.kill();
    assert.match(rows[2] ?? "", /^settings +2 /);
    await kubectl("delete", "configmap", "settings");
    await kubectl("delete", "namespace", "shop", "--timeout=60s");
    assert.equal(await kubectl("get", "namespace", "shop", "--ignore-not-found"), "");
  });

  it("serves HTTPRoutes, GRPCRoutes and ReferenceGrants under the definitions that mesh install brings", async () => {
    const crds = ["httproutes", "grpcroutes", "referencegrants"];
    for (const crd of crds) await kubectl("apply", "-f", path.join("clusters", "manifests", `crd-${crd}.yaml`));
    const names = crds.map((crd) => `crd/${crd}.gateway.networking.k8s.io`);
    await kubectl("wait", "--for=condition=Established", "--timeout=60s", ...names);
    const route = (kind: string, name: string, rules: string) => `
apiVersion: gateway.networking.k8s.io/v1
kind: ${kind}
metadata: {name: ${name}, namespace: default}
spec:
  parentRefs: [{group: "", kind: Service, name: web, port: 80}]
  rules: ${rules}
`;
    const http = `
  - matches:
    - path: {value: /api}
      headers: [{name: X-Canary, value: "1"}]
      queryParams: [{name: v, type: RegularExpression, value: "[12]"}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: a, value: b}], remove: [c]}
    - type: URLRewrite
      urlRewrite: {hostname: v2.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}
    - type: RequestMirror
      requestMirror: {backendRef: {name: web-v2, port: 80}, fraction: {numerator: 1}}
    backendRefs:
    - {name: web, port: 80, weight: 90}
    - {name: web-east, port: 80, weight: 10, filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: d, value: e}]}}]}
    timeouts: {request: 10s, backendRequest: 500ms}
    retry: {codes: [503], attempts: 3, backoff: 25ms}
  - name: rest
    filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]
`;
    const grpc = `
  - matches: [{method: {service: shop.Cart, method: Get}, headers: [{name: a, value: b}]}]
    backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: cart, port: 80}]
`;
    const grant = `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: grant, namespace: default}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: team}]
  to: [{group: "", kind: Service}]
`;
    const all = [route("HTTPRoute", "canary", http), route("GRPCRoute", "cart", grpc), grant].join("---");
    assert.match(
      await apply(all),
      /httproute\S+\/canary created\ngrpcroute\S+\/cart created\nreferencegrant\S+\/grant created/,
    );
    // Lists of a custom resource are sent whole, so kubectl says "configured" where defaults were filled in.
    assert.match(await apply(all), /canary \w+\n\S+\/cart \w+\n\S+\/grant unchanged/);
    assert.match(await kubectl("get", "httproutes"), /NAME +HOSTNAMES +AGE\ncanary /);
    assert.match(await kubectl("get", "gateway-api"), /httproute\S+\/canary.*grpcroute\S+\/cart/s);
    const stored = JSON.parse(await kubectl("get", "httproute", "canary", "-o", "json"));
    const [first, rest] = stored.spec.rules;
    assert.deepEqual(first.matches[0].path, { type: "PathPrefix", value: "/api" });
    assert.deepEqual(first.matches[0].headers[0], { type: "Exact", name: "X-Canary", value: "1" });
    assert.deepEqual(first.filters[2].requestMirror.fraction, { numerator: 1, denominator: 100 });
    assert.deepEqual(rest.matches, [{ path: { type: "PathPrefix", value: "/" } }]);
    assert.equal(rest.filters[0].requestRedirect.statusCode, 302);
    assert.match(await kubectl("explain", "httproute.spec.rules.timeouts"), /backendRequest/);
    const wrong: [string, RegExp][] = [
      [route("HTTPRoute", "x", "[{timeouts: {request: soon}}]"), /timeouts.request/],
      [route("HTTPRoute", "x", "[{filters: [{type: CORS}]}]"), /Unsupported value: "CORS"/],
      [route("HTTPRoute", "x", "[{matches: [{path: {type: Glob}}]}]"), /Unsupported value: "Glob"/],
      [route("GRPCRoute", "x", "[{timeouts: {request: 1s}}]"), /unknown field "spec.rules\[0\].timeouts"/],
    ];
    for (const [yaml, why] of wrong) await assert.rejects(apply(yaml), why);
    const status = {
      parents: [{ parentRef: { name: "web" }, controllerName: "causeway.dev/controller", conditions: [] }],
    };
    await kubectl(
      "patch",
      "httproute",
      "canary",
      "--subresource=status",
      "--type=merge",
      "-p",
      JSON.stringify({ status }),
    );
    assert.equal(
      await kubectl(
        "get",
        "httproute",
        "canary",
        "-o",
        "jsonpath={.status.parents[0].controllerName} {.metadata.generation}",
      ),
      "causeway.dev/controller 1",
    );
  });

  it("serves client-node: typed calls, three kinds of patch and a watch", async () => {
    const { CoreV1Api, KubeConfig, PatchStrategy, setHeaderOptions, Watch } = await import("@kubernetes/client-node");
    const config = new KubeConfig();
    config.loadFromFile(kubeconfig);
    const core = config.makeApiClient(CoreV1Api);
    const namespace = "default";
    const made = await core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name: "node" }, data: { a: "1" } },
    });
    const events: string[] = [];
    const twice = deferred();
    const watching = await new Watch(config).watch(
      `/api/v1/namespaces/${namespace}/configmaps`,
      { resourceVersion: made.metadata?.resourceVersion, fieldSelector: "metadata.name=node" },
      (type: string) => {
        events.push(type);
        if (events.length === 4) twice.resolve();
      },
      () => {},
    );
    const patches: [string, unknown][] = [
      [PatchStrategy.JsonPatch, [{ op: "add", path: "/data/b", value: "2" }]],
      [PatchStrategy.MergePatch, { data: { c: "3" } }],
      [PatchStrategy.StrategicMergePatch, { data: { d: "4" } }],
    ];
    for (const [type, body] of patches) {
      await core.patchNamespacedConfigMap({ namespace, name: "node", body }, setHeaderOptions("Content-Type", type));
    }
    assert.deepEqual((await core.readNamespacedConfigMap({ namespace, name: "node" })).data, {
      a: "1",
      b: "2",
      c: "3",
      d: "4",
    });
    await core.deleteNamespacedConfigMap({ namespace, name: "node" });
    await twice.promise;
    watching.abort();
    assert.deepEqual(events, ["MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]);
    await assert.rejects(core.readNamespacedConfigMap({ namespace, name: "node" }), { code: 404 });
  });
});

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
