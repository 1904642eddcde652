import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { hasCode, type MeshError } from "../core/errors.ts";
import type { KubeClient } from "./client.ts";
import { connectKube } from "./client-node-adapter.ts";
import { CONFIG_MAPS, LINKS, SERVICES } from "./resources.ts";
import { failure, IMPORT_TIMEOUT_MS, object, reply, ScriptedServer } from "./scripted-server.test.ts";

describe("connectKube()", () => {
  let server: ScriptedServer;
  let kube: KubeClient;
  let directory: string;

  before(async function () {
    this.timeout(IMPORT_TIMEOUT_MS);
    server = await ScriptedServer.start();
    kube = await connectKube({ kubeconfigPath: server.kubeconfigPath, context: "token" });
    directory = await mkdtemp(join(tmpdir(), "adapter-"));
  });
  after(async () => {
    await server.close();
    await rm(directory, { recursive: true, force: true });
  });
  beforeEach(() => {
    server.requests.length = 0;
  });

  /** A kubeconfig like the server's own, whose context "token" has another user or cluster. */
  async function variant(name: string, user: object | undefined, cluster: object = {}): Promise<string> {
    const config = parse(await readFile(server.kubeconfigPath, "utf8"));
    const at = config.users.findIndex((entry: { name: string }) => entry.name === "token");
    if (user !== undefined) config.users[at].user = user;
    Object.assign(config.clusters[at].cluster, cluster);
    const path = join(directory, name);
    await writeFile(path, stringify(config));
    return path;
  }

  const version = () => {
    server.handler = (_request, response) => reply(response, 200, { gitVersion: "v1.32.0" });
  };

  describe("credentials", () => {
    it("presents the client certificate, the token, or what a plugin prints, and only that", async () => {
      version();
      const plugin = join(directory, "plugin");
      await writeFile(
        plugin,
        '#!/bin/sh\ncase "$KUBERNETES_EXEC_INFO" in *client.authentication.k8s.io/v1beta1*) ;; *) exit 3 ;; esac\nprintf \'{"status":{"token":"from-plugin"}}\'\n',
      );
      await chmod(plugin, 0o755);
      const exec = { command: "./plugin", apiVersion: "client.authentication.k8s.io/v1beta1" };
      await writeFile(join(directory, "sa-token"), "from-file\n");
      const cases: [string, string, string, string | undefined][] = [
        [server.kubeconfigPath, "certificate", "alice", undefined],
        [server.kubeconfigPath, "token", "", "Bearer secret-token"],
        [await variant("exec", { exec }), "token", "", "Bearer from-plugin"],
        [await variant("file", { "token-file": "sa-token" }), "token", "", "Bearer from-file"],
        [
          await variant("basic", { username: "bob", password: "p" }),
          "token",
          "",
          `Basic ${Buffer.from("bob:p").toString("base64")}`,
        ],
        [await variant("none", {}), "token", "", undefined],
      ];
      for (const [kubeconfigPath, context, client, authorization] of cases) {
        const client1 = await connectKube({ kubeconfigPath, context });
        equal(await client1.version(), "v1.32.0");
        const last = server.requests.at(-1);
        deepEqual([last?.client, last?.headers.authorization], [client, authorization], kubeconfigPath);
      }
    });

    it("asks a plugin again when the server no longer takes what it gave", async () => {
      const plugin = join(directory, "counting");
      await writeFile(
        plugin,
        `#!/bin/sh\necho x >> ${directory}/count\nprintf '{"status":{"token":"t%s"}}' "$(wc -l < ${directory}/count)"\n`,
      );
      await chmod(plugin, 0o755);
      const client = await connectKube({
        kubeconfigPath: await variant("counted", { exec: { command: plugin } }),
        context: "token",
      });
      server.handler = ({ headers }, response) => {
        if (headers.authorization === "Bearer t2") reply(response, 200, { gitVersion: "v1" });
        else failure(response, 401, "Unauthorized", "Unauthorized");
      };
      await Promise.all([client.version(), client.version(), client.version()]);
      equal((await readFile(join(directory, "count"), "utf8")).length, 4);
    });

    it("says KUBE_DENIED when a plugin fails", async () => {
      const client = await connectKube({
        kubeconfigPath: await variant("bad", { exec: { command: "/no/such" } }),
        context: "token",
      });
      await rejects(client.version(), {
        code: "KUBE_DENIED",
        message: /Cannot get credentials for context "token".*ENOENT/,
      });
    });

    it("never sends a token to a server whose certificate is not of the context's authority", async () => {
      version();
      const client = await connectKube({ kubeconfigPath: server.kubeconfigPath, context: "other-ca" });
      await rejects(client.version(), { code: "CLUSTER_UNREACHABLE", message: /certificate authority/ });
      equal(server.requests.length, 0);
    });

    it("refuses to send credentials over http", async () => {
      const kubeconfigPath = await variant("http", undefined, { server: "http://127.0.0.1:1" });
      await rejects(
        connectKube({ kubeconfigPath, context: "token" }),
        (error: MeshError) => hasCode(error, "USAGE") && /unencrypted/.test(error.message),
      );
    });
  });

  describe("errors", () => {
    const cases: [number, string, string][] = [
      [400, "BadRequest", "KUBE_INVALID"],
      [401, "Unauthorized", "KUBE_DENIED"],
      [403, "Forbidden", "KUBE_DENIED"],
      [404, "NotFound", "KUBE_NOT_FOUND"],
      [409, "AlreadyExists", "KUBE_CONFLICT"],
      [422, "Invalid", "KUBE_INVALID"],
      [429, "TooManyRequests", "KUBE_FAILED"],
      [500, "InternalError", "KUBE_FAILED"],
    ];
    for (const [status, reason, code] of cases) {
      it(`are ${code} for ${status}, with the server's message`, async () => {
        server.handler = (_request, response) => failure(response, status, reason, `because ${reason}`);
        await rejects(kube.create(CONFIG_MAPS, object("a", "")), (error: MeshError) => {
          match(
            error.message,
            new RegExp(
              `^Cannot create ConfigMap shop/a: https://127.0.0.1:\\d+ answered ${status}: because ${reason}\\. `,
            ),
          );
          ok(!error.message.includes("secret-token"));
          return hasCode(error, code as MeshError["code"]);
        });
      });
    }

    it("are CLUSTER_UNREACHABLE, naming the server and what to do, where nothing listens", async () => {
      const free = createTcpServer();
      await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
      const { port } = free.address() as { port: number };
      await new Promise((resolve) => free.close(resolve));
      const kubeconfigPath = await variant("gone", undefined, { server: `https://127.0.0.1:${port}` });
      const client = await connectKube({ kubeconfigPath, context: "token" });
      await rejects(client.version(), {
        code: "CLUSTER_UNREACHABLE",
        message: new RegExp(`API server https://127.0.0.1:${port} cannot be reached: .*ECONNREFUSED.* Check that`),
      });
    });

    it("are CLUSTER_UNREACHABLE when the answer does not come, or stops, within the timeout", async () => {
      const client = await connectKube({
        kubeconfigPath: server.kubeconfigPath,
        context: "token",
        requestTimeoutMs: 200,
      });
      server.handler = () => {};
      await rejects(client.version(), { code: "CLUSTER_UNREACHABLE", message: /no answer within 0.2 s/ });
      server.handler = (_request, response) => void response.writeHead(200).write("{");
      await rejects(client.version(), { code: "CLUSTER_UNREACHABLE", message: /no answer within 0.2 s/ });
    });

    it("are LIMIT_EXCEEDED for an answer beyond the bound, KUBE_FAILED for one that is no object", async () => {
      const client = await connectKube({
        kubeconfigPath: server.kubeconfigPath,
        context: "token",
        maxResponseBytes: 1_000,
      });
      server.handler = (_request, response) => reply(response, 200, "x".repeat(100_000));
      await rejects(client.version(), { code: "LIMIT_EXCEEDED" });
      for (const body of ["<html>", "null", "3", "{}", ""]) {
        server.handler = (_request, response) => reply(response, 200, body);
        await rejects(client.get(CONFIG_MAPS, "a", "shop"), { code: "KUBE_FAILED" });
      }
    });
  });

  it("get() tells a missing object from a missing kind", async () => {
    server.handler = (_request, response) =>
      failure(response, 404, "NotFound", 'links "east" not found', { name: "east", kind: "links" });
    equal(await kube.get(LINKS, "east"), undefined);
    equal(server.requests[0]?.path, "/apis/causeway.dev/v1alpha1/links/east");
    server.handler = (_request, response) => reply(response, 404, "404 page not found\n");
    await rejects(kube.get(LINKS, "east"), { code: "KUBE_NOT_FOUND" });
    server.handler = (_request, response) =>
      failure(response, 404, "NotFound", "the server could not find the requested resource");
    await rejects(kube.get(LINKS, "east"), { code: "KUBE_NOT_FOUND" });
  });

  it("list() reads all pages and completes items' kind", async () => {
    server.handler = ({ query }, response) => {
      const next = query.get("continue") === null ? "more" : "";
      reply(response, 200, {
        metadata: { resourceVersion: "1", continue: next },
        items: [{ metadata: { name: next || "last" } }],
      });
    };
    const items = await kube.list(SERVICES, { namespace: "shop", fieldSelector: "metadata.name=a" });
    deepEqual(
      items.map(({ kind, apiVersion, metadata }) => [kind, apiVersion, metadata.name]),
      [
        ["Service", "v1", "more"],
        ["Service", "v1", "last"],
      ],
    );
    equal(server.requests[0]?.path, "/api/v1/namespaces/shop/services");
    equal(server.requests[1]?.query.get("fieldSelector"), "metadata.name=a");
    server.handler = (_request, response) => reply(response, 200, { metadata: { resourceVersion: "1" }, items: null });
    deepEqual(await kube.list(SERVICES), []);
    equal(server.requests.at(-1)?.path, "/api/v1/services");
  });

  it("writes go where they must, as what they are", async () => {
    server.handler = ({ body }, response) => reply(response, 200, { ...JSON.parse(body), metadata: { name: "a" } });
    await kube.replace(CONFIG_MAPS, object("a", "7"));
    await kube.replaceStatus(LINKS, { ...object("east", "1"), kind: "Link" });
    await kube.mergePatch(CONFIG_MAPS, "a", "shop", { data: { x: null } });
    await kube.mergePatchStatus(LINKS, "east", undefined, { status: {} });
    deepEqual(
      server.requests.map(({ method, path, headers }) => `${method} ${path} ${headers["content-type"]}`),
      [
        "PUT /api/v1/namespaces/shop/configmaps/a application/json",
        "PUT /apis/causeway.dev/v1alpha1/links/east/status application/json",
        "PATCH /api/v1/namespaces/shop/configmaps/a application/merge-patch+json",
        "PATCH /apis/causeway.dev/v1alpha1/links/east/status application/merge-patch+json",
      ],
    );
    equal(JSON.parse(server.requests[0]?.body ?? "").metadata.resourceVersion, "7");
  });

  it("delete() is false for what is gone or has a successor, and never addresses a collection", async () => {
    server.handler = (_request, response) => reply(response, 200, { kind: "Status", status: "Success" });
    equal(await kube.delete(CONFIG_MAPS, "a", "shop", { uid: "u", gracePeriodSeconds: 0 }), true);
    deepEqual(JSON.parse(server.requests[0]?.body ?? "").preconditions, { uid: "u" });
    server.handler = (_request, response) => failure(response, 404, "NotFound", "gone", { name: "a" });
    equal(await kube.delete(CONFIG_MAPS, "a", "shop"), false);
    server.handler = ({ method }, response) =>
      method === "DELETE"
        ? failure(response, 409, "Conflict", "precondition")
        : reply(response, 200, object("a", "2", "successor"));
    equal(await kube.delete(CONFIG_MAPS, "a", "shop", { uid: "u" }), false);
    await rejects(kube.delete(CONFIG_MAPS, "a", "shop", { uid: "successor" }), { code: "KUBE_CONFLICT" });
    await rejects(kube.delete(CONFIG_MAPS, "", "shop"), { code: "INTERNAL" });
    await rejects(kube.delete(CONFIG_MAPS, "a"), { code: "INTERNAL" });
    await rejects(kube.get(CONFIG_MAPS, "..", "shop"), { code: "INTERNAL" });
  });

  it("reviews and requests tokens", async () => {
    server.handler = ({ path, body }, response) =>
      path.endsWith("tokenreviews")
        ? reply(response, 201, {
            status: {
              authenticated: true,
              user: { username: "system:serviceaccount:shop:web" },
              audiences: JSON.parse(body).spec.audiences,
            },
          })
        : reply(response, 201, { status: { token: "t", expirationTimestamp: "2030-01-01T00:00:00Z" } });
    deepEqual(await kube.reviewToken("x", ["causeway"]), {
      authenticated: true,
      username: "system:serviceaccount:shop:web",
      audiences: ["causeway"],
      error: "",
    });
    deepEqual(await kube.requestToken("shop", "web", ["causeway"], 600), {
      token: "t",
      expiresAtMs: Date.parse("2030-01-01T00:00:00Z"),
    });
    equal(server.requests[1]?.path, "/api/v1/namespaces/shop/serviceaccounts/web/token");
    server.handler = (_request, response) =>
      reply(response, 201, { status: { authenticated: false, error: "expired" } });
    deepEqual(await kube.reviewToken("x", []), { authenticated: false, username: "", audiences: [], error: "expired" });
  });

  it("goes on when the server has closed idle connections", async () => {
    version();
    await kube.version();
    for (let round = 0; round < 5; round++) {
      server.server.closeIdleConnections();
      equal(await kube.version(), "v1.32.0");
    }
  });

  it("sends many requests at once over few connections", async () => {
    const sockets = new Set<unknown>();
    const onConnection = (socket: unknown) => sockets.add(socket);
    server.server.on("secureConnection", onConnection);
    version();
    await Promise.all(Array.from({ length: 200 }, () => kube.version()));
    server.server.off("secureConnection", onConnection);
    ok(sockets.size <= 16, String(sockets.size));
    equal(server.requests.length, 200);
  });

  it("goes through the proxy that the kubeconfig names", async () => {
    version();
    let tunnels = 0;
    const proxy = createTcpServer((socket) => {
      socket.once("data", (head: Buffer) => {
        const [, host = "", port = ""] = /^CONNECT ([^:]+):(\d+)/.exec(head.toString("latin1")) ?? [];
        tunnels++;
        const upstream = connect(Number(port), host, () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
        socket.pipe(upstream).pipe(socket);
        socket.on("error", () => upstream.destroy());
        upstream.on("error", () => {});
        upstream.on("close", () => socket.destroy());
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const { port } = proxy.address() as { port: number };
    const kubeconfigPath = await variant("proxy", undefined, { "proxy-url": `http://127.0.0.1:${port}` });
    const client = await connectKube({ kubeconfigPath, context: "token" });
    equal(await client.version(), "v1.32.0");
    equal(tunnels, 1);
    server.server.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });
});
