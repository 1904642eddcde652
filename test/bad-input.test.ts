import { deepEqual, equal, match, ok } from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { signalRecord } from "../clusters/process-record.ts";
import type { CommandResult } from "./support/commands.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";

/** One line, `CODE: Cannot …`, on standard error, with the exit status. */
function refused(result: CommandResult, code: string, status = 1): void {
  equal(result.code, status, `${result.stdout}${result.stderr}`);
  const lines = result.stderr.trimEnd().split("\n");
  match(lines.at(-1) ?? "", new RegExp(`^${code}: Cannot .+\\.`));
  ok(!result.stderr.includes("    at "), "no stack is shown");
}

describe("bad input", () => {
  let mesh: LocalMesh;
  let directory: string;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "causeway-bad-"));
    mesh = await LocalMesh.start({ clusters: ["east", "north", "west"], apps: false });
  });

  after(async () => {
    rmSync(directory, { recursive: true, force: true });
    await mesh?.stop();
  });

  function write(name: string, text: string): string {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  async function assertNoLinks(): Promise<void> {
    for (const cluster of mesh.clusters) deepEqual(await mesh.names(cluster, "links"), [], cluster);
  }

  describe("clusters and the command line", () => {
    it("an unknown context: CONTEXT_UNKNOWN, naming those that there are", async () => {
      const result = await mesh.mesh("links", "--context", "nosuch");
      refused(result, "CONTEXT_UNKNOWN");
      match(result.stderr, /east.*west/);
    });

    it("an unreachable cluster: CLUSTER_UNREACHABLE", async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      const { port } = server.address() as { port: number };
      await new Promise((resolve) => server.close(resolve));
      const text = readFileSync(mesh.kubeconfig, "utf8").replaceAll(/server: .*/g, `server: https://127.0.0.1:${port}`);
      refused(await mesh.mesh("links", "--kubeconfig", write("closed", text)), "CLUSTER_UNREACHABLE");
    });

    it("bad flags, verbs and arguments: USAGE, and status 2", async () => {
      for (const args of [
        ["links", "--nosuch"],
        ["nosuch"],
        ["up", "--octet", "0"],
        ["up", "--clusters", "east,east"],
        ["link"],
        ["link", "--context", "east", "--timeout", "soon"],
        ["export"],
        ["export", "a/b/c"],
        ["links", "-o", "xml"],
        ["drill", "run", "nosuch"],
        ["drill", "run", "cluster-loss"],
        ["links", "--kubeconfig", "/nonexistent"],
        ["exec", "client", "--"],
      ]) {
        refused(await mesh.mesh(...args), "USAGE", 2);
      }
    });

    it("errors with -o json are JSON on standard error, with code and message, and nothing else", async () => {
      for (const [code, status, args] of [
        ["CONTEXT_UNKNOWN", 1, ["links", "--context", "nosuch"]],
        ["USAGE", 2, ["links", "--nosuch"]],
        ["SERVICE_UNKNOWN", 1, ["export", "default/nosuch"]],
      ] as const) {
        const result = await mesh.mesh(...args, "-o", "json");
        equal(result.code, status);
        equal(result.stdout, "");
        const { error } = JSON.parse(result.stderr) as { error: { code: string; message: string } };
        equal(error.code, code);
        match(error.message, /^Cannot /);
      }
    });
  });

  describe("mesh link", () => {
    it("to itself: LINK_SELF", async () => {
      refused(await mesh.mesh("link", "--context", "west"), "LINK_SELF");
      const token = await mesh.meshOutput("link", "token", "--context", "west");
      refused(await mesh.mesh("link", "join", write("own", token)), "LINK_SELF");
      await assertNoLinks();
    });

    it("with garbage for a token, or none: TOKEN_INVALID, USAGE", async () => {
      for (const text of ["", "garbage", "mesh1.e30", `mesh1.${"A".repeat(9_000)}`])
        refused(await mesh.mesh("link", "join", write("garbage", text)), "TOKEN_INVALID");
      refused(await mesh.mesh("link", "join", join(directory, "nosuch")), "USAGE", 2);
      refused(await mesh.meshWith({ input: "garbage\n" }, "link", "join", "-"), "TOKEN_INVALID");
      await assertNoLinks();
    });

    it("with an expired token: TOKEN_EXPIRED, and no link is left", async () => {
      const token = await mesh.meshOutput("link", "token", "--context", "east", "--ttl", "1ms");
      refused(await mesh.mesh("link", "join", write("expired", token)), "TOKEN_EXPIRED");
      await assertNoLinks();
    });

    it("with a token whose pin was changed: PIN_MISMATCH, and no link is left", async () => {
      const token = (await mesh.meshOutput("link", "token", "--context", "east")).trim();
      const body = JSON.parse(Buffer.from(token.slice("mesh1.".length), "base64url").toString()) as object;
      const wrong = { ...body, rootFingerprint: `sha256:${"0".repeat(64)}` };
      const text = `mesh1.${Buffer.from(JSON.stringify(wrong)).toString("base64url")}`;
      refused(await mesh.mesh("link", "join", write("pin", text)), "PIN_MISMATCH");
      await assertNoLinks();
    });

    it("with a token of which the secret is wrong: TOKEN_INVALID", async () => {
      const token = (await mesh.meshOutput("link", "token", "--context", "east")).trim();
      const body = JSON.parse(Buffer.from(token.slice("mesh1.".length), "base64url").toString()) as object;
      const wrong = { ...body, secret: "A".repeat(43) };
      const text = `mesh1.${Buffer.from(JSON.stringify(wrong)).toString("base64url")}`;
      refused(await mesh.mesh("link", "join", write("secret", text)), "TOKEN_INVALID");
      await assertNoLinks();
    });

    it("with a token for another cluster: TOKEN_INVALID", async () => {
      const token = await mesh.meshOutput("link", "token", "--context", "east", "--for", "north");
      refused(await mesh.mesh("link", "join", write("for", token)), "TOKEN_INVALID");
      await assertNoLinks();
    });

    it("with a token that another cluster has used: TOKEN_USED", async () => {
      const path = write("used", await mesh.meshOutput("link", "token", "--context", "east"));
      await mesh.meshOutput("link", "join", path, "--context", "north");
      refused(await mesh.mesh("link", "join", path), "TOKEN_USED");
      deepEqual(await mesh.names("west", "links"), []);
      await mesh.meshOutput("unlink", "east", "--context", "north");
      await reached("east has no link", async () => (await mesh.names("east", "links")).length === 0);
    });

    it("while the peer's gateway is dead: LINK_TIMEOUT, and no link is left", async () => {
      const gateway = mesh.record("east", "gateway") ?? mesh.record("east", "serve");
      ok(gateway !== undefined);
      // Stopped and not killed, or the supervisor would bring it back.
      signalRecord(gateway, "SIGSTOP");
      try {
        refused(await mesh.mesh("link", "--context", "east", "--timeout", "3s"), "LINK_TIMEOUT");
      } finally {
        signalRecord(gateway, "SIGCONT");
      }
      await reached("no link is left", async () => {
        const links = await Promise.all(mesh.clusters.map((cluster) => mesh.names(cluster, "links")));
        return links.flat().length === 0;
      });
    });

    it("interrupted: the same verb converges", async () => {
      let interrupted = false;
      const first = await mesh.meshWith(
        {
          started: (child) => {
            child.stdout?.on("data", (text: string) => {
              // The token is made, the join under way.
              if (!interrupted && text.includes("join token in east")) child.kill("SIGINT");
              interrupted ||= text.includes("join token in east");
            });
          },
        },
        ...["link", "--context", "east"],
      );
      ok(interrupted);
      if (first.code !== 0) refused(first, "ABORTED", 130);
      await mesh.meshOutput("link", "--context", "east");
      await mesh.linkActive("west", "east");
      await mesh.meshOutput("unlink", "east");
      await reached("east has no link", async () => (await mesh.names("east", "links")).length === 0);
    });
  });

  describe("mesh unlink, export and the like", () => {
    it("no such link: LINK_UNKNOWN", async () => {
      refused(await mesh.mesh("unlink", "nosuch"), "LINK_UNKNOWN");
    });

    it("no such service: SERVICE_UNKNOWN", async () => {
      refused(await mesh.mesh("export", "default/nosuch", "--context", "east"), "SERVICE_UNKNOWN");
      refused(await mesh.mesh("unexport", "default/nosuch", "--context", "east"), "SERVICE_UNKNOWN");
    });

    it("an ExternalName: SERVICE_TYPE, and by label alone a condition or an event, not a mirror", async () => {
      const args = ["create", "service", "externalname", "outside", "--external-name", "example.org"];
      await mesh.kubectl("east", ...args);
      refused(await mesh.mesh("export", "default/outside", "--context", "east"), "SERVICE_TYPE");
      deepEqual(await mesh.names("east", "serviceexports", "-A"), []);
      await mesh.kubectlApply(
        "east",
        "apiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ServiceExport\nmetadata: { name: outside, namespace: default }\n",
      );
      await reached("the export says that it is not valid", async () => {
        type Export = { status?: { conditions?: { type: string; status: string }[] } };
        const { status } = await mesh.json<Export>("east", "serviceexport", "outside");
        return status?.conditions?.some((c) => c.type === "Valid" && c.status === "False");
      });
    });

    it("a command in a pod that is not there: KUBE_NOT_FOUND", async () => {
      refused(await mesh.mesh("exec", "nosuch", "--", "true"), "KUBE_NOT_FOUND");
    });
  });

  describe("mesh up and down", () => {
    it("interrupted on its way up: nothing is left", async () => {
      const other = await LocalMesh.reserve({ apps: false });
      try {
        const up = await other.meshWith(
          {
            started: (child) => {
              // Once: a second signal would end it before it has tidied up.
              let interrupted = false;
              child.stdout?.on("data", (text: string) => {
                if (interrupted || !text.includes("API server")) return;
                interrupted = true;
                child.kill("SIGINT");
              });
            },
          },
          ...other.upArguments(),
        );
        refused(up, "ABORTED", 130);
        other.assertNothingLeft();
        const down = await other.mesh("down");
        equal(down.code, 0, down.stderr);
        match(down.stdout, /no local clusters are up/);
      } finally {
        await other.dispose();
      }
    });

    it("on addresses that somebody else has: PORT_IN_USE, and nothing is left", async () => {
      const other = await LocalMesh.reserve({ clusters: ["lone"], apps: false });
      try {
        const { host, port } = other.layout("lone").apiServer;
        const squatter = createServer().listen(port, host);
        await new Promise((resolve) => squatter.once("listening", resolve));
        refused(await other.mesh(...other.upArguments()), "PORT_IN_USE");
        await new Promise((resolve) => squatter.close(resolve));
        equal(existsSync(other.home), false);
      } finally {
        await other.dispose();
      }
    });
  });
});
