import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { startTestServer, type TestServer } from "./api-server-harness.ts";

const PODS = "/api/v1/namespaces/default/pods";
const MAPS = "/api/v1/namespaces/default/configmaps";

function pod(name: string, extra: object = {}) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: "web" } },
    spec: { containers: [{ name: "a", image: "i", ports: [{ name: "http", containerPort: 8080 }] }], ...extra },
  };
}

function ready(ip: string, state = "True") {
  return { status: { phase: "Running", podIP: ip, conditions: [{ type: "Ready", status: state }] } };
}

describe("startApiServer()", () => {
  let api: TestServer;
  before(async () => {
    api = await startTestServer();
    // The default ServiceAccount is made by a controller.
    await settled(
      async () => (await api.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")).code === 200,
    );
  });
  after(() => api.close());

  /** Waits for what a controller will do, by watching the store's answers. */
  async function settled(done: () => Promise<boolean>): Promise<void> {
    while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  it("refuses anonymous requests but tells its version and health", async () => {
    const none = { authorization: "" };
    assert.equal((await api.call("GET", MAPS, undefined, none)).code, 401);
    assert.equal(
      (await api.call("GET", MAPS, undefined, { authorization: "Bearer nope" })).body.reason,
      "Unauthorized",
    );
    assert.equal((await api.call("GET", "/version", undefined, none)).body.major, "1");
    assert.equal((await api.call("GET", "/readyz", undefined, none)).body, "ok");
  });

  it("creates, updates with optimistic locking, patches and deletes", async () => {
    const made = await api.call("POST", MAPS, { metadata: { name: "a" }, data: { k: "1" } });
    assert.equal(made.code, 201);
    assert.equal((await api.call("POST", MAPS, { metadata: { name: "a" } })).body.reason, "AlreadyExists");
    const changed = await api.call("PUT", `${MAPS}/a`, { ...made.body, data: { k: "2" } });
    assert.equal(changed.body.data.k, "2");
    const stale = await api.call("PUT", `${MAPS}/a`, { ...made.body, data: { k: "3" } });
    assert.deepEqual([stale.code, stale.body.reason], [409, "Conflict"]);
    const same = await api.call("PATCH", `${MAPS}/a`, { data: { k: "2" } });
    assert.equal(same.body.metadata.resourceVersion, changed.body.metadata.resourceVersion);
    const dry = await api.call("PATCH", `${MAPS}/a?dryRun=All`, { data: { k: "9" } });
    assert.equal(dry.body.data.k, "9");
    assert.equal((await api.call("GET", `${MAPS}/a`)).body.data.k, "2");
    const wrong = await api.call("DELETE", `${MAPS}/a`, { preconditions: { uid: "other" } });
    assert.equal(wrong.code, 409);
    assert.equal((await api.call("DELETE", `${MAPS}/a`)).body.status, "Success");
    assert.equal((await api.call("GET", `${MAPS}/a`)).code, 404);
  });

  it("explains what is invalid as Kubernetes does", async () => {
    const bad = await api.call("POST", MAPS, { metadata: { name: "Bad_Name" } });
    assert.deepEqual([bad.code, bad.body.reason, bad.body.details.causes[0].field], [422, "Invalid", "metadata.name"]);
    const strict = await api.call("POST", `${PODS}?fieldValidation=Strict`, pod("x", { nope: 1 }));
    assert.match(strict.body.message, /strict decoding error: unknown field "spec.nope"/);
    const service = await api.call("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "s" },
      spec: { ports: [{ port: 70000 }] },
    });
    assert.match(
      service.body.message,
      /spec.ports\[0\].port: Invalid value: 70000: must be between 1 and 65535, inclusive/,
    );
    const apply = await api.call("PATCH", `${MAPS}/a`, "{}", { "content-type": "application/apply-patch+yaml" });
    assert.equal(apply.code, 415);
    const huge = await api.call("POST", MAPS, { metadata: { name: "h" }, data: { x: "x".repeat(3_200_000) } });
    assert.equal(huge.code, 413);
    assert.equal((await api.call("POST", MAPS, `${"[".repeat(1000)}${"]".repeat(1000)}`)).code, 400);
    assert.equal((await api.call("POST", "/api/v1/namespaces/none/configmaps", { metadata: { name: "a" } })).code, 404);
  });

  it("lists in pages of one revision, and by selectors", async () => {
    for (const name of ["p1", "p2", "p3"])
      await api.call("POST", MAPS, { metadata: { name, labels: { page: "yes" } } });
    const first = await api.call("GET", `${MAPS}?labelSelector=page%3Dyes&limit=2`);
    assert.deepEqual([first.body.items.length, first.body.metadata.remainingItemCount], [2, 1]);
    await api.call("DELETE", `${MAPS}/p3`);
    const second = await api.call(
      "GET",
      `${MAPS}?labelSelector=page%3Dyes&limit=2&continue=${first.body.metadata.continue}`,
    );
    assert.deepEqual(
      [second.body.items[0].metadata.name, second.body.metadata.resourceVersion],
      ["p3", first.body.metadata.resourceVersion],
    );
    const gone = await api.call("GET", `${MAPS}?limit=2&continue=00000000-0000-4000-8000-000000000000`);
    assert.deepEqual([gone.code, gone.body.reason], [410, "Expired"]);
    const named = await api.call("GET", `${MAPS}?fieldSelector=metadata.name%3Dp1`);
    assert.equal(named.body.items.length, 1);
    await api.call("DELETE", `${MAPS}?labelSelector=page%3Dyes`);
    assert.equal((await api.call("GET", `${MAPS}?labelSelector=page%3Dyes`)).body.items.length, 0);
  });

  it("streams changes from a revision, leaves and joins of a selection, and 410 in the stream", async () => {
    const made = await api.call("POST", MAPS, { metadata: { name: "w", labels: { on: "1" } } });
    await api.call("PATCH", `${MAPS}/w`, { metadata: { labels: { on: "2" } } });
    await api.call("DELETE", `${MAPS}/w`);
    const from = Number(made.body.metadata.resourceVersion) - 1;
    const lines = (text: string) =>
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    const url = `${MAPS}?watch=1&timeoutSeconds=1&labelSelector=on%3D1`;
    const seen = await api.call("GET", `${url}&resourceVersion=${from}`);
    assert.deepEqual(
      lines(seen.body).map((event) => event.type),
      ["ADDED", "DELETED"],
    );
    const old = await api.call("GET", `${MAPS}?watch=1&resourceVersion=999999`);
    assert.equal(old.code, 504);
    const initial = await api.call(
      "GET",
      `${MAPS}?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan`,
    );
    const events = lines(typeof initial.body === "string" ? initial.body : JSON.stringify(initial.body));
    assert.equal(events.at(-1).object.metadata.annotations["k8s.io/initial-events-end"], "true");
  });

  it("puts a pod's readiness into its Service's EndpointSlice", async () => {
    const slices = async () =>
      (
        await api.call(
          "GET",
          "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dweb",
        )
      ).body.items;
    const made = await api.call("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: "http", appProtocol: "http" }] },
    });
    assert.match(made.body.spec.clusterIP, /^127\.20\.\d+\.\d+$/);
    await api.call("POST", PODS, pod("web-1"));
    await api.call("PATCH", `${PODS}/web-1/status`, ready("127.20.0.5"));
    await settled(async () => (await slices())[0]?.endpoints[0]?.conditions.ready === true);
    const [slice] = await slices();
    assert.deepEqual(slice.ports, [{ name: "http", port: 8080, protocol: "TCP", appProtocol: "http" }]);
    assert.equal(slice.endpoints[0].targetRef.name, "web-1");
    await api.call("PATCH", `${PODS}/web-1/status`, ready("127.20.0.5", "False"));
    await settled(async () => (await slices())[0]?.endpoints[0]?.conditions.ready === false);
    await api.call("DELETE", `${PODS}/web-1`);
    await settled(async () => (await slices())[0]?.endpoints.length === 0);
    await api.call("DELETE", "/api/v1/namespaces/default/services/web");
    await settled(async () => (await slices()).length === 0);
  });

  it("refuses loopback endpoints unless it was told to allow them", async () => {
    const strict = await startTestServer({ allowLoopbackEndpoints: false });
    const slice = { metadata: { name: "s" }, addressType: "IPv4", endpoints: [{ addresses: ["127.20.0.1"] }] };
    const url = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    try {
      const refused = await strict.call("POST", url, slice);
      assert.match(refused.body.message, /may not be in the loopback range/);
    } finally {
      await strict.close();
    }
    assert.equal((await api.call("POST", url, slice)).code, 201);
    const moved = await api.call("PATCH", `${url}/s`, { addressType: "IPv6", endpoints: [] });
    assert.match(moved.body.message, /addressType: Invalid value: "IPv6": field is immutable/);
    const metadata = await api.call("POST", url, {
      ...slice,
      metadata: { name: "t" },
      endpoints: [{ addresses: ["169.254.1.1"] }],
    });
    assert.equal(metadata.code, 422);
  });

  it("deletes a bound pod in two steps", async () => {
    await api.call("POST", PODS, pod("bound", { nodeName: "n1" }));
    const going = await api.call("DELETE", `${PODS}/bound`);
    assert.equal(going.body.metadata.deletionGracePeriodSeconds, 30);
    assert.equal((await api.call("GET", `${PODS}/bound`)).code, 200);
    await api.call("DELETE", `${PODS}/bound`, { gracePeriodSeconds: 0 });
    assert.equal((await api.call("GET", `${PODS}/bound`)).code, 404);
  });

  it("keeps an object with finalizers until they are gone, and collects what it owned", async () => {
    const owner = (await api.call("POST", MAPS, { metadata: { name: "owner", finalizers: ["example.com/hold"] } })).body
      .metadata;
    const ownerReferences = [
      { apiVersion: "v1", kind: "ConfigMap", name: "owner", uid: owner.uid, blockOwnerDeletion: true },
    ];
    await api.call("POST", MAPS, { metadata: { name: "owned", ownerReferences } });
    assert.notEqual((await api.call("DELETE", `${MAPS}/owner`)).body.metadata.deletionTimestamp, undefined);
    const added = await api.call("PATCH", `${MAPS}/owner`, {
      metadata: { finalizers: ["example.com/hold", "example.com/new"] },
    });
    assert.equal(added.code, 422);
    await api.call("PATCH", `${MAPS}/owner`, { metadata: { finalizers: null } });
    assert.equal((await api.call("GET", `${MAPS}/owner`)).code, 404);
    await settled(async () => (await api.call("GET", `${MAPS}/owned`)).code === 404);
  });

  it("deletes dependents first in the foreground, and none when orphaning", async () => {
    for (const policy of ["Foreground", "Orphan"]) {
      const owner = (await api.call("POST", MAPS, { metadata: { name: "o" } })).body.metadata;
      const ownerReferences = [
        { apiVersion: "v1", kind: "ConfigMap", name: "o", uid: owner.uid, blockOwnerDeletion: true },
      ];
      await api.call("POST", MAPS, { metadata: { name: "d", ownerReferences } });
      await api.call("DELETE", `${MAPS}/o`, { propagationPolicy: policy });
      await settled(async () => (await api.call("GET", `${MAPS}/o`)).code === 404);
      const dependent = await api.call("GET", `${MAPS}/d`);
      assert.equal(dependent.code, policy === "Orphan" ? 200 : 404);
      if (policy === "Orphan") assert.equal(dependent.body.metadata.ownerReferences, undefined);
    }
  });

  it("empties a namespace before it goes, and takes nothing new meanwhile", async () => {
    await api.call("POST", "/api/v1/namespaces", { metadata: { name: "gone" } });
    const url = "/api/v1/namespaces/gone/configmaps";
    await api.call("POST", url, { metadata: { name: "held", finalizers: ["example.com/hold"] } });
    await api.call("DELETE", "/api/v1/namespaces/gone");
    assert.equal((await api.call("GET", "/api/v1/namespaces/gone")).body.status.phase, "Terminating");
    assert.equal((await api.call("POST", url, { metadata: { name: "late" } })).code, 403);
    await settled(async () => (await api.call("GET", `${url}/held`)).body.metadata.deletionTimestamp !== undefined);
    await api.call("PATCH", `${url}/held`, { metadata: { finalizers: null } });
    await settled(async () => (await api.call("GET", "/api/v1/namespaces/gone")).code === 404);
  });

  it("serves custom resources by their schema, in every version", async () => {
    const schema = (extra: object) => ({
      openAPIV3Schema: {
        type: "object",
        properties: {
          spec: {
            type: "object",
            required: ["size"],
            properties: { size: { type: "integer", minimum: 1 }, mode: { type: "string", default: "fast" }, ...extra },
          },
          status: { type: "object", properties: { phase: { type: "string" } } },
        },
      },
    });
    const additionalPrinterColumns = [{ name: "Size", type: "integer", jsonPath: ".spec.size" }];
    const version = (name: string, storage: boolean) => ({
      name,
      served: true,
      storage,
      schema: schema({}),
      subresources: { status: {} },
      additionalPrinterColumns,
    });
    const crd = await api.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
      metadata: { name: "widgets.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names: { plural: "widgets", kind: "Widget", shortNames: ["wd"] },
        versions: [version("v1", true), version("v1beta1", false)],
      },
    });
    assert.equal(crd.code, 201);
    const url = "/apis/example.com/v1beta1/namespaces/default/widgets";
    const made = await api.call("POST", url, {
      apiVersion: "example.com/v1beta1",
      kind: "Widget",
      metadata: { name: "w" },
      spec: { size: 2, nope: 1 },
      status: { phase: "x" },
    });
    assert.deepEqual(
      [made.code, made.body.spec, made.body.status, made.body.metadata.generation],
      [201, { size: 2, mode: "fast" }, undefined, 1],
    );
    const other = await api.call("GET", "/apis/example.com/v1/namespaces/default/widgets/w");
    assert.equal(other.body.apiVersion, "example.com/v1");
    const bad = await api.call("PATCH", `${url}/w`, { spec: { size: 0 } });
    assert.match(
      bad.body.message,
      /Widget.example.com "w" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1/,
    );
    const status = await api.call("PATCH", `${url}/w/status`, { status: { phase: "Ready" }, spec: { size: 9 } });
    assert.deepEqual(
      [status.body.status.phase, status.body.spec.size, status.body.metadata.generation],
      ["Ready", 2, 1],
    );
    const changed = await api.call("PATCH", `${url}/w`, { spec: { size: 3 } });
    assert.equal(changed.body.metadata.generation, 2);
    const table = await api.call("GET", url, undefined, { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" });
    assert.deepEqual(table.body.rows[0].cells, ["w", 3]);
    await api.call("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com");
    await settled(async () => (await api.call("GET", url)).code === 404);
  });

  it("knows ServiceAccounts by their tokens, and lets them do what RBAC says", async () => {
    await api.call("POST", "/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "robot" } });
    const request = await api.call("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", {
      spec: { audiences: [], expirationSeconds: 600 },
    });
    const headers = { authorization: `Bearer ${request.body.status.token}` };
    assert.equal((await api.call("GET", MAPS, undefined, headers)).code, 403);
    const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    await api.call("POST", `${rbac}/roles`, {
      metadata: { name: "reader" },
      rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["get", "list"] }],
    });
    await api.call("POST", `${rbac}/rolebindings`, {
      metadata: { name: "b" },
      roleRef: { kind: "Role", name: "reader" },
      subjects: [{ kind: "ServiceAccount", name: "robot" }],
    });
    assert.equal((await api.call("GET", MAPS, undefined, headers)).code, 200);
    assert.equal((await api.call("POST", MAPS, { metadata: { name: "n" } }, headers)).code, 403);
    const reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    const bound = await api.call("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", {
      spec: { audiences: ["causeway"] },
    });
    const review = (audiences: string[]) =>
      api.call("POST", reviews, { spec: { token: bound.body.status.token, audiences } });
    assert.equal((await review(["causeway"])).body.status.user.username, "system:serviceaccount:default:robot");
    assert.equal((await review(["other"])).body.status.authenticated, false);
    await api.call("DELETE", "/api/v1/namespaces/default/serviceaccounts/robot");
    assert.equal((await review(["causeway"])).body.status.authenticated, false);
  });

  it("comes back with everything after a restart", async () => {
    await api.call("POST", MAPS, { metadata: { name: "kept" }, data: { a: "1" } });
    const service = await api.call("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "kept" },
      spec: { ports: [{ port: 80 }] },
    });
    const before = await api.call("GET", MAPS);
    const { caPem, admin } = api.server;
    await api.restart();
    const after = await api.call("GET", MAPS);
    assert.ok(Number(after.body.metadata.resourceVersion) >= Number(before.body.metadata.resourceVersion));
    assert.deepEqual(after.body.items, before.body.items);
    assert.deepEqual([api.server.caPem, api.server.admin.token], [caPem, admin.token]);
    const next = await api.call("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "next" },
      spec: { ports: [{ port: 80 }] },
    });
    assert.notEqual(next.body.spec.clusterIP, service.body.spec.clusterIP);
    const taken = await api.call("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "taken" },
      spec: { clusterIP: service.body.spec.clusterIP, ports: [{ port: 80 }] },
    });
    assert.match(taken.body.message, /provided IP is already allocated/);
  });
});

describe("pods/log and pods/exec", () => {
  let api: TestServer;
  let agent: Server;
  let directory: string;
  const seen: string[] = [];

  before(async () => {
    directory = mkdtempSync(path.join(tmpdir(), "kubelet-"));
    const kubeletSocket = path.join(directory, "agent.sock");
    api = await startTestServer({ kubeletSocket });
    agent = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      response.end("line 1\n");
    });
    agent.on("upgrade", (request, stream) => {
      seen.push(`${request.method} ${request.url} ${request.headers.authorization ?? "no credentials"}`);
      stream.write(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-protocol: v5.channel.k8s.io\r\n\r\n",
      );
      stream.on("data", (chunk: Buffer) => stream.write(chunk));
      stream.on("end", () => stream.end());
      stream.on("error", () => stream.destroy());
    });
    await new Promise<void>((resolve) => agent.listen(kubeletSocket, resolve));
    await api.call("POST", "/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
    await api.call("POST", PODS, pod("p", { nodeName: "n" }));
  });
  after(async () => {
    agent.closeAllConnections();
    await new Promise((resolve) => agent.close(resolve));
    await api.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it("passes logs on with the container's name and the query", async () => {
    const logs = await api.call("GET", `${PODS}/p/log?tailLines=5&follow=true`);
    assert.equal(logs.body, "line 1\n");
    assert.equal(seen.at(-1), "GET /containerLogs/default/p/a?tailLines=5&follow=true");
    assert.equal((await api.call("GET", `${PODS}/p/log?container=zz`)).code, 400);
  });

  it("hands an upgraded connection on byte for byte, without the credentials", async () => {
    const { url, caPem, admin } = api.server;
    const echoed = await new Promise<string>((resolve, reject) => {
      const request = httpsRequest(`${url}${PODS}/p/exec?command=ls&container=a`, {
        ca: caPem,
        agent: false,
        headers: { authorization: `Bearer ${admin.token}`, connection: "Upgrade", upgrade: "websocket" },
      });
      request.on("upgrade", (_response, stream) => {
        stream.once("data", (chunk: Buffer) => {
          stream.destroy();
          resolve(chunk.toString());
        });
        stream.write("hello");
      });
      request.on("error", reject);
      request.end();
    });
    assert.equal(echoed, "hello");
    assert.equal(seen.at(-1), "GET /exec/default/p/a?command=ls no credentials");
  });

  it("answers 502 while the node agent is away", async () => {
    agent.closeAllConnections();
    await new Promise((resolve) => agent.close(resolve));
    const logs = await api.call("GET", `${PODS}/p/log`);
    assert.deepEqual([logs.code, logs.body.kind], [502, "Status"]);
  });
});
