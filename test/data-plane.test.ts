import { deepEqual, equal, match, ok } from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { connect as connectSocket } from "node:net";
import { credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { WebSocket } from "ws";
import { packageRoot } from "../clusters/node/images.ts";
import { PORTS } from "../core/defaults.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";
import { type EchoClient, loadEcho, type Words } from "./support/pods/echo.ts";

const ECHO_EAST = "echo-east.shop.svc.cluster.local:9000";

/** A Deployment with its Service, of a program of the tests. */
function podManifest(name: string, port: number, program: string, ports: string): string {
  const command = JSON.stringify([
    process.execPath,
    "--import",
    createRequire(import.meta.url).resolve("tsx"),
    `${packageRoot()}/test/support/pods/${program}.ts`,
  ]);
  return `apiVersion: v1
kind: ServiceAccount
metadata: { name: ${name}, namespace: shop }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: shop }
spec:
  replicas: 1
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      serviceAccountName: ${name}
      terminationGracePeriodSeconds: 2
      containers:
        - name: ${name}
          image: example.test/${program}:1
          command: ${command}
          ports: [{ name: main, containerPort: ${port} }]
          readinessProbe: { tcpSocket: { port: ${port} } }
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop, labels: { causeway.dev/exported: "true" } }
spec:
  selector: { app: ${name} }
  ports: [${ports}]
`;
}

describe("the data plane between two clusters", () => {
  let mesh: LocalMesh;
  let sidecar: string;

  before(async () => {
    mesh = await LocalMesh.start();
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    await mesh.kubectlApply(
      "east",
      podManifest("echo", 9_000, "grpc-echo", "{ name: main, port: 9000, appProtocol: grpc }"),
    );
    await mesh.kubectlApply(
      "east",
      podManifest(
        "talk",
        8_081,
        "talk",
        "{ name: main, port: 8081 }, { name: tls, port: 443, targetPort: 8443 }, { name: mysql, port: 3306 }",
      ),
    );
    for (const name of ["web-east", "echo-east", "talk-east"]) await mesh.serviceThere("west", name);
    sidecar = await mesh.podAddress("west", "client");
    await mesh.answered("west", "web-east.shop.svc.cluster.local", "east");
    for (const app of ["echo", "talk"]) {
      await mesh.kubectl("east", "-n", "shop", "rollout", "status", `deployment/${app}`, "--timeout=60s");
    }
  });

  after(async () => {
    await mesh?.stop();
  });

  describe("gRPC through a mirrored name", () => {
    let echo: EchoClient;

    before(async () => {
      const { Echo } = loadEcho();
      echo = new Echo(`ipv4:${sidecar}:${PORTS.outbound}`, credentials.createInsecure(), {
        "grpc.default_authority": ECHO_EAST,
        "grpc.enable_http_proxy": 0,
      });
      await reached("echo answers", async () => (await say(echo, "first")).words.text === "first");
    });

    after(() => echo?.close());

    it("answers a call, with trailers, and tells the server who calls", async () => {
      const { words, trailers } = await say(echo, "hello");
      equal(words.text, "hello");
      deepEqual(trailers.get("x-caller"), ["spiffe://west.mesh/ns/shop/sa/client"]);
    });

    it("passes a failure on as the server meant it", async () => {
      const error = await say(echo, "fail 9").catch((e: ServiceError) => e);
      ok(error instanceof Error);
      equal(error.code, status.FAILED_PRECONDITION);
      equal(error.details, "as asked");
    });

    it("keeps a deadline", async () => {
      const error = await say(echo, "never", 300).catch((e: ServiceError) => e);
      ok(error instanceof Error);
      equal(error.code, status.DEADLINE_EXCEEDED);
    });

    it("streams from the server, from the client, and both ways", async () => {
      const counted: number[] = [];
      const count = echo.Count({ text: "n", times: 1_000 }).on("data", ({ times }: Words) => counted.push(times));
      await once(count, "end");
      deepEqual(
        counted,
        Array.from({ length: 1_000 }, (_, i) => i + 1),
      );
      const sum = await new Promise<number>((resolve, reject) => {
        const call = echo.Sum((error, words) => (error === null ? resolve(words?.times ?? 0) : reject(error)));
        for (let i = 1; i <= 100; i++) call.write({ times: i });
        call.end();
      });
      equal(sum, 5_050);
      const chat = echo.Chat();
      for (const text of ["a", "b", "c"]) {
        chat.write({ text });
        const [words] = (await once(chat, "data")) as [Words];
        equal(words.text, text);
      }
      chat.end();
      await once(chat, "end");
    });

    it("works through CONNECT too, as clients with HTTP_PROXY call", async () => {
      const before = process.env["grpc_proxy"];
      process.env["grpc_proxy"] = `http://${sidecar}:${PORTS.outbound}`;
      const { Echo } = loadEcho();
      const client = new Echo(`dns:${ECHO_EAST}`, credentials.createInsecure());
      try {
        equal((await say(client, "by proxy")).words.text, "by proxy");
      } finally {
        client.close();
        if (before === undefined) delete process.env["grpc_proxy"];
        else process.env["grpc_proxy"] = before;
      }
    });

    it("is counted by gRPC status", async () => {
      const text = await (await fetch(`http://${sidecar}:${PORTS.admin}/metrics`)).text();
      match(text, new RegExp(`response_total\\{[^}]*authority="${ECHO_EAST}"[^}]*grpc_status_code="9"\\} 1\\n`));
      match(text, new RegExp(`response_total\\{[^}]*authority="${ECHO_EAST}"[^}]*grpc_status_code="0"\\} [1-9]`));
    });
  });

  describe("other protocols through a mirrored name", () => {
    const talk = "talk-east.shop.svc.cluster.local:8081";

    it("tunnels a WebSocket", async () => {
      const socket = new WebSocket(`ws://${sidecar}:${PORTS.outbound}/chat`, { headers: { host: talk } });
      await once(socket, "open");
      socket.send("over the mesh");
      const [data] = (await once(socket, "message")) as [Buffer];
      equal(data.toString(), "over the mesh");
      socket.close(1_000);
      const [code] = (await once(socket, "close")) as [number];
      equal(code, 1_000);
    });

    it("passes an informational answer, a chunked body and its trailer on", async () => {
      const answer = await mesh.curl("west", `http://${talk}/trailer`, "--include", "--raw", "--http1.1");
      equal(answer.code, 0, answer.stderr);
      match(answer.stdout, /103 Early Hints/);
      match(answer.stdout, /x-sum: 3\r\n\r\n$/);
    });

    it("passes TLS of the app itself through a tunnel", async () => {
      const answer = await mesh.curl("west", "https://talk-east.shop.svc.cluster.local/", "--insecure");
      equal(answer.code, 0, answer.stderr);
      equal(answer.stdout, "over TLS\n");
    });

    it("carries what is neither, the server speaking first", async () => {
      const socket = connectSocket({ host: sidecar, port: PORTS.outbound });
      socket.setEncoding("latin1");
      socket.write(`CONNECT talk-east.shop.svc.cluster.local:3306 HTTP/1.1\r\nhost: x\r\n\r\n`);
      let text = "";
      for await (const chunk of socket) {
        text += String(chunk);
        if (text.includes("greeting")) break;
      }
      match(text, /^HTTP\/1\.1 200 [\s\S]*greeting of the server$/);
    });
  });

  describe("HTTPRoutes", () => {
    const route = (name: string, rules: string) => `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${name}, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: web, port: 80 }]
  rules:
${rules}`;
    const web = "web.shop.svc.cluster.local";

    it("send one header's requests to the other cluster, and the rest home", async () => {
      await mesh.kubectlApply(
        "west",
        route(
          "canary",
          `    - name: canary
      matches: [{ headers: [{ name: x-canary, value: "yes" }] }]
      backendRefs: [{ name: web-east, port: 80 }]
    - backendRefs: [{ name: web, port: 80 }]
`,
        ),
      );
      await reached("the canary goes to east", async () => {
        return (await mesh.whoami("west", web, "-H", "x-canary: yes")).cluster === "east";
      });
      equal((await mesh.whoami("west", web)).cluster, "west");
      const conditions = await mesh.kubectl(
        "west",
        ..."-n shop get httproute canary -o".split(" "),
        "jsonpath={.status.parents[0].conditions[?(@.type=='Accepted')].status}",
      );
      equal(conditions, "True");
      const text = await (await fetch(`http://${sidecar}:${PORTS.admin}/metrics`)).text();
      match(text, /route_request_total\{[^}]*route="[^"]*canary[^"]*"\} [1-9]/);
    });

    it("time a slow answer out, redirect and rewrite", async () => {
      await mesh.kubectlApply(
        "west",
        route(
          "canary",
          `    - matches: [{ path: { type: PathPrefix, value: /slow } }]
      timeouts: { request: 300ms }
      filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: / } } }]
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { type: Exact, value: /old } }]
      filters: [{ type: RequestRedirect, requestRedirect: { path: { type: ReplaceFullPath, replaceFullPath: /new }, statusCode: 301 } }]
    - backendRefs: [{ name: web, port: 80 }]
`,
        ),
      );
      const code = ["-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"];
      await reached("the redirect is there", async () => {
        return (await mesh.curl("west", `http://${web}/old`, ...code)).stdout === `301 http://${web}/new`;
      });
      equal((await mesh.curl("west", `http://${web}/slow?slow=3000`, ...code)).stdout, "504 ");
      const rewritten = await mesh.curl("west", `http://${web}/slow/a`);
      equal((JSON.parse(rewritten.stdout) as { path: string }).path, "/a");
      await mesh.kubectl("west", "-n", "shop", "delete", "httproute", "canary");
      await reached("the redirect is gone", async () => {
        return (await mesh.curl("west", `http://${web}/old`, ...code)).stdout === "200 ";
      });
    });
  });
});

function say(echo: EchoClient, text: string, withinMs = 10_000): Promise<{ words: Words; trailers: Metadata }> {
  return new Promise((resolve, reject) => {
    let trailers = new Metadata();
    let answer: Words | undefined;
    const call = echo.Say({ text }, new Metadata(), { deadline: Date.now() + withinMs }, (error, words) => {
      if (error !== null) reject(error);
      else answer = words;
    });
    call.on("status", (end) => {
      trailers = end.metadata;
      if (answer !== undefined) resolve({ words: answer, trailers });
    });
  });
}
