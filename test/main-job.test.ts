import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { DrillReport } from "../drills/report.ts";
import type { Link } from "../kube/resources.ts";
import { run } from "./support/commands.ts";
import { LocalMesh, reached, USERS_KUBECONFIG } from "./support/local-mesh.ts";

const WEB_EAST = "web-east.shop.svc.cluster.local";
const CLUSTERSET = "web.shop.svc.clusterset.local";
const CLIENT = "spiffe://west.mesh/ns/shop/sa/client";

interface ServiceRow {
  readonly service: string;
  readonly kind: string;
  readonly clusters: readonly string[];
  readonly name: string;
}

describe("two clusters, from mesh up to mesh down", () => {
  let mesh: LocalMesh;

  before(async () => {
    mesh = await LocalMesh.start();
  });

  after(async () => {
    await mesh?.stop();
  });

  describe("mesh up", () => {
    it("writes contexts to a kubeconfig of its own and leaves the user's alone", async () => {
      const config = ["--kubeconfig", mesh.kubeconfig, "config"];
      const contexts = await run("kubectl", [...config, "get-contexts", "-o", "name"]);
      deepEqual(contexts.stdout.trim().split("\n").sort(), ["east", "west"]);
      equal((await run("kubectl", [...config, "current-context"])).stdout.trim(), "west");
      equal(readFileSync(mesh.usersKubeconfig, "utf8"), USERS_KUBECONFIG);
    });

    it("runs again: says what is running, starts nothing", async () => {
      const before = ["east", "west"].map((cluster) => mesh.record(cluster, "supervisor")?.pid);
      const again = await mesh.mesh(...mesh.upArguments());
      equal(again.code, 0, again.stderr);
      match(again.stdout, /east is already running/);
      match(again.stdout, /west is already running/);
      deepEqual(
        ["east", "west"].map((cluster) => mesh.record(cluster, "supervisor")?.pid),
        before,
      );
    });
  });

  describe("the API server, with plain kubectl", () => {
    const manifest = `apiVersion: v1
kind: ConfigMap
metadata: { name: colours, namespace: shop }
data: { sky: blue }
`;

    it("gets in tables and describes", async () => {
      const table = await mesh.kubectl("west", "-n", "shop", "get", "deployments");
      match(table, /^NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\nweb\s+2\/2/);
      const pod = await mesh.kubectl("west", "-n", "shop", "describe", "pod", "client");
      match(pod, /Status:\s+Running/);
      match(await mesh.kubectl("west", "get", "nodes"), /west-node\s+Ready/);
    });

    it("applies, labels, annotates and deletes", async () => {
      equal((await mesh.kubectlApply("west", manifest)).trim(), "configmap/colours created");
      equal((await mesh.kubectlApply("west", manifest)).trim(), "configmap/colours unchanged");
      equal((await mesh.kubectlApply("west", manifest.replace("blue", "grey"))).trim(), "configmap/colours configured");
      await mesh.kubectl("west", "-n", "shop", "label", "configmap", "colours", "season=winter");
      await mesh.kubectl("west", "-n", "shop", "annotate", "configmap", "colours", "note=cold");
      deepEqual(await mesh.names("west", "-n", "shop", "configmap", "-l", "season=winter"), ["configmap/colours"]);
      type ConfigMap = { data: object; metadata: { annotations: Record<string, string> } };
      const map = await mesh.json<ConfigMap>("west", "-n", "shop", "configmap", "colours");
      deepEqual(map.data, { sky: "grey" });
      equal(map.metadata.annotations["note"], "cold");
      await mesh.kubectl("west", "-n", "shop", "delete", "configmap", "colours");
      const gone = await mesh.kubectlResult("west", "-n", "shop", "get", "configmap", "colours");
      equal(gone.code, 1);
      match(gone.stderr, /NotFound/);
    });

    it("refuses what the schema forbids, with kubectl's own validation", async () => {
      const bad = "apiVersion: v1\nkind: Service\nmetadata: { name: bad, namespace: shop }\nspec: { portz: [] }\n";
      const refused = await run("kubectl", ["--kubeconfig", mesh.kubeconfig, "create", "-f", "-"], { input: bad });
      equal(refused.code, 1);
      match(refused.stderr, /unknown field "spec\.portz"/);
    });

    it("shows logs and runs commands in pods", async () => {
      match(await mesh.kubectl("west", "-n", "shop", "logs", "client"), /client waits/);
      equal(await mesh.kubectl("west", "-n", "shop", "exec", "client", "--", "printf", "%s", "a b"), "a b");
      const failed = await mesh.kubectlResult("west", "-n", "shop", "exec", "client", "--", "sh", "-c", "exit 7");
      equal(failed.code, 7);
    });
  });

  describe("mesh link", () => {
    it("--plan says what would be exposed and changes nothing", async () => {
      const versions = async () =>
        await Promise.all(
          ["east", "west"].map(async (cluster) => [
            await mesh.names(cluster, "links,secrets,services,serviceexports,serviceimports", "-A"),
          ]),
        );
      const before = await versions();
      const plan = await mesh.meshOutput("link", "--context", "east", "--plan");
      match(plan, /west exposes shop\/web to east as shop\/web-west, and joins the clusterset name/);
      match(plan, /nothing was changed/);
      deepEqual(await versions(), before);
    });

    it("joins the two: both sides are active", async () => {
      const linked = await mesh.meshOutput("link", "--context", "east");
      match(linked, /trust anchors exchanged in both directions/);
      match(linked, /west and east are linked \(/);
      type Row = { cluster: string; phase: string; health: string };
      for (const [cluster, peer] of [
        ["west", "east"],
        ["east", "west"],
      ] as const) {
        const [row, ...more] = await mesh.meshJson<Row[]>("links", "--context", cluster);
        deepEqual([row?.cluster, row?.phase, row?.health, more], [peer, "active", "alive", []]);
      }
    });

    it("again changes nothing", async () => {
      const before = await mesh.json<Link>("west", "link", "east");
      const again = await mesh.meshJson<{ changed: boolean }>("link", "--context", "east");
      equal(again.changed, false);
      const after = await mesh.json<Link>("west", "link", "east");
      deepEqual([after.metadata.uid, after.spec], [before.metadata.uid, before.spec]);
    });
  });

  describe("mesh export", () => {
    it("makes a Service, an EndpointSlice and a ServiceImport in the linked cluster", async () => {
      await mesh.meshOutput("export", "shop/web", "--context", "east");
      await mesh.serviceThere("west", "web-east");
      await reached("west has the slice of web-east", async () => {
        const selector = "kubernetes.io/service-name=web-east";
        return (await mesh.names("west", "-n", "shop", "endpointslices", "-l", selector)).length === 1;
      });
      type Import = { status?: { clusters?: { cluster: string }[] } };
      await reached("the import of web names both clusters", async () => {
        const imported = await mesh.json<Import>("west", "-n", "shop", "serviceimport", "web");
        return (imported.status?.clusters ?? []).map((c) => c.cluster).join() === "east,west";
      });
    });

    it("is answered for by DNS: A and SRV over UDP and TCP, and NXDOMAIN for what is not there", async () => {
      const clusterIp = await mesh.kubectl(
        "west",
        ...["-n", "shop", "get", "service", "web-east", "-o", "jsonpath={.spec.clusterIP}"],
      );
      for (const over of ["+notcp", "+tcp"]) {
        await reached(`dig ${over} finds ${WEB_EAST}`, async () => {
          return (await mesh.dig("west", "+short", over, WEB_EAST)).stdout.trim() === clusterIp;
        });
      }
      const srv = await mesh.dig("west", "+short", "SRV", `_http._tcp.${WEB_EAST}`);
      match(srv.stdout, new RegExp(`^\\d+ \\d+ 80 ${WEB_EAST}\\.$`, "m"));
      match((await mesh.dig("west", "nosuch.shop.svc.cluster.local")).stdout, /status: NXDOMAIN/);
    });

    it("shows in mesh services", async () => {
      const rows = await mesh.meshJson<ServiceRow[]>("services");
      const row = (name: string) => rows.find((r) => r.name === name);
      deepEqual([row(WEB_EAST)?.kind, row(WEB_EAST)?.clusters], ["mirror", ["east"]]);
      deepEqual([row(CLUSTERSET)?.kind, row(CLUSTERSET)?.clusters], ["federated", ["east", "west"]]);
    });

    it("carries a call from west's client to east's web, which sees the client's identity", async () => {
      await mesh.answered("west", WEB_EAST, "east");
      const { code, stdout, stderr } = await mesh.mesh(
        ...["exec", "--context", "west", "client", "--", "curl", "-sS", `http://${WEB_EAST}/?whoami`],
      );
      equal(code, 0, stderr);
      const { cluster, client, pod } = JSON.parse(stdout) as Record<string, string>;
      deepEqual([cluster, client], ["east", CLIENT]);
      match(pod ?? "", /^web-/);
    });

    it("takes no client's word for its identity", async () => {
      const forged = ["-H", "x-causeway-client-id: spiffe://east.mesh/ns/causeway-system/sa/causeway-control"];
      equal((await mesh.whoami("west", WEB_EAST, ...forged)).client, CLIENT);
    });

    it("by the label alone mirrors a second service, and taking the label off takes the mirror away", async () => {
      await mesh.kubectlApply(
        "east",
        `apiVersion: v1
kind: Service
metadata: { name: second, namespace: shop }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 8081, targetPort: http, appProtocol: http }]
`,
      );
      await mesh.kubectl("east", "-n", "shop", "label", "service", "second", "causeway.dev/exported=true");
      await mesh.serviceThere("west", "second-east");
      await mesh.answered("west", "second-east.shop.svc.cluster.local:8081", "east");
      await mesh.kubectl("east", "-n", "shop", "label", "service", "second", "causeway.dev/exported-");
      await mesh.serviceThere("west", "second-east", false);
      await reached("second-east has no name any more", async () => {
        const answer = await mesh.dig("west", "second-east.shop.svc.cluster.local");
        return answer.stdout.includes("status: NXDOMAIN");
      });
    });
  });

  describe("the clusterset name", () => {
    it("is answered by the caller's own cluster while it can", async () => {
      const answers = await Promise.all(Array.from({ length: 10 }, () => mesh.whoami("west", CLUSTERSET)));
      deepEqual([...new Set(answers.map((a) => a.cluster))], ["west"]);
      notEqual((await mesh.dig("west", "+short", CLUSTERSET)).stdout.trim(), "");
    });

    /** Bounds on latency are for machines that do nothing else; here it must move, lose nothing and return. */
    const slo = ["--slo", "failures=0,p99=60s,shift=60s", "--rate", "50"];

    it("loses no request when every local pod is killed, and comes home afterwards", async () => {
      const report = await mesh.meshJson<DrillReport>("drill", "run", "endpoint-loss", ...slo);
      deepEqual([report.failures, report.failureReasons], [0, []]);
      ok((report.answeredBy["east"] ?? 0) > 0, "traffic moved to east");
      ok(report.passed);
      await mesh.answered("west", CLUSTERSET, "west");
    });

    it("loses no request when the preferred cluster is killed, and goes back to it afterwards", async () => {
      const args = ["drill", "run", "cluster-loss", "--cluster", "east", ...slo];
      const report = await mesh.meshJson<DrillReport>(...args);
      deepEqual([report.failures, report.failureReasons], [0, []]);
      ok((report.answeredBy["west"] ?? 0) > 0, "traffic moved to west");
      ok(report.passed);
      await mesh.linkActive("west", "east");
      await mesh.answered("west", WEB_EAST, "east");
    });
  });

  describe("the way back", () => {
    /** Mirrors and imports of another cluster's services. */
    const mirrors = (cluster: string) =>
      mesh.names(cluster, "services,endpointslices", "-A", "-l", "causeway.dev/origin-cluster");

    it("unexport takes the mirror, its name and its part of the clusterset away", async () => {
      await mesh.meshOutput("unexport", "shop/web", "--context", "east");
      await mesh.serviceThere("west", "web-east", false);
      await reached("nothing mirrored is left in west", async () => (await mirrors("west")).length === 0);
      await reached("web-east has no name", async () => (await mesh.dig("west", "+short", WEB_EAST)).stdout === "");
      await reached("the client's sidecar knows no web-east", async () => {
        const { stdout } = await mesh.curl("west", `http://${WEB_EAST}/`, "--include");
        return stdout.includes("x-causeway-error: PROXY_UNKNOWN_SERVICE");
      });
      const rows = await mesh.meshJson<ServiceRow[]>("services");
      deepEqual(rows.find((r) => r.name === CLUSTERSET)?.clusters, ["west"]);
    });

    it("unlink takes mirrors, Link, trust and routes away on both sides", async () => {
      await mesh.meshOutput("export", "shop/web", "--context", "east");
      await mesh.serviceThere("west", "web-east");
      await mesh.serviceThere("east", "web-west");
      const [route = ""] = await mesh.routeNames("east", "west", "web", 80);
      await mesh.answered("west", WEB_EAST, "east");
      await mesh.meshOutput("unlink", "east");
      for (const [cluster, peer] of [
        ["west", "east"],
        ["east", "west"],
      ] as const) {
        await reached(`${cluster} has neither Link nor mirrors nor secrets of ${peer}`, async () => {
          const secrets = await mesh.names(cluster, "secrets", "-A");
          const links = await mesh.names(cluster, "links");
          const left = [
            ...links,
            ...secrets.filter((name) => name.includes("causeway-link-")),
            ...(await mirrors(cluster)),
          ];
          return left.length === 0;
        });
      }
      await reached("the old route leads nowhere", async () => {
        const relay = `${mesh.layout("east").gateway}:4143`;
        const { stderr } = await run("openssl", ["s_client", "-connect", relay, "-servername", route]);
        return stderr.includes("unrecognized name");
      });
      await reached("the client's sidecar trusts and knows east no more", async () => {
        const admin = `http://${await mesh.podAddress("west", "client")}:4191/config`;
        return !JSON.stringify(await (await fetch(admin)).json()).includes("east.mesh");
      });
    });

    it("linking again works as the first time", async () => {
      await mesh.meshOutput("link", "--context", "east");
      await mesh.linkActive("west", "east");
      await mesh.serviceThere("west", "web-east");
      equal((await mesh.answered("west", WEB_EAST, "east")).client, CLIENT);
    });
  });
});
