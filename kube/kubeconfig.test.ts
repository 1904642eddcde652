import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCode } from "../core/errors.ts";
import { clusterServer, contextNames, currentContext, loadKubeConfig } from "./kubeconfig.ts";
import { removeFromKubeconfig, writeKubeconfig } from "./kubeconfig-file.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kubeconfig-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function file(name: string, content: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

const EAST = `
apiVersion: v1
kind: Config
current-context: east
clusters: [{name: c, cluster: {server: "https://east:6443/", certificate-authority: ca.crt}}]
users: [{name: u, user: {token-file: token, exec: {command: ./plugin}}}]
contexts: [{name: east, context: {cluster: c, user: u}}]
`;
const WEST = `
current-context: west
clusters: [{name: c, cluster: {server: "https://other:6443"}}, {name: w, cluster: {server: "https://west:6443/prefix"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: west, context: {cluster: w, user: u, namespace: shop}}, {name: bare, context: {}}]
`;

describe("loadKubeConfig()", () => {
  it("merges a list as kubectl does: the first file's entry and current context win, missing files are skipped", async () => {
    const kubeconfigPath = [await file("a", EAST), join(directory, "missing"), "", await file("b", WEST)].join(":");
    const config = await loadKubeConfig({ kubeconfigPath });
    deepEqual(contextNames(config), ["east", "west", "bare"]);
    equal(currentContext(config), "east");
    equal(clusterServer(config), "https://east:6443");
    equal(clusterServer(config, "west"), "https://west:6443/prefix");
    equal(config.contexts.get("west")?.namespace, "shop");
    equal(config.paths.length, 2);
  });

  it("takes paths in a file as relative to it", async () => {
    const config = await loadKubeConfig({ kubeconfigPath: await file("a", EAST) });
    equal(config.clusters.get("c")?.["certificate-authority"], join(directory, "ca.crt"));
    equal(config.users.get("u")?.["token-file"], join(directory, "token"));
    deepEqual(config.users.get("u")?.["exec"], { command: join(directory, "plugin") });
  });

  it("lists the contexts that exist when the one asked for does not", async () => {
    const kubeconfigPath = await file("a", WEST);
    await rejects(loadKubeConfig({ kubeconfigPath, context: "north" }), (error: Error) => {
      match(error.message, /no such context\. The contexts are: west, bare\.$/);
      return hasCode(error, "CONTEXT_UNKNOWN");
    });
    equal(currentContext(await loadKubeConfig({ kubeconfigPath, context: "bare" })), "bare");
  });

  it("says so when no context is chosen, or the chosen one's cluster has no server", async () => {
    const none = await loadKubeConfig({ kubeconfigPath: await file("a", WEST.replace("current-context: west", "")) });
    equal(currentContext(none), undefined);
    await rejects(async () => clusterServer(none), { code: "CONTEXT_UNKNOWN", message: /no current context/ });
    await rejects(async () => clusterServer(none, "bare"), { code: "USAGE", message: /no server address/ });
  });

  it("refuses what is no kubeconfig without quoting it", async () => {
    for (const content of ["{token: hunter2", "hunter2", "contexts: hunter2", "contexts: [{hunter2: 1}]"]) {
      const kubeconfigPath = await file("bad", content);
      await rejects(
        loadKubeConfig({ kubeconfigPath }),
        (error: Error) => hasCode(error, "USAGE") && !error.message.includes("hunter2"),
      );
    }
    await rejects(loadKubeConfig({ kubeconfigPath: join(directory, "missing") }), {
      code: "USAGE",
      message: /no such file/,
    });
    await rejects(loadKubeConfig({ kubeconfigPath: directory }), { code: "USAGE" });
    deepEqual(contextNames(await loadKubeConfig({ kubeconfigPath: await file("empty", "") })), []);
  });
});

describe("writeKubeconfig()", () => {
  const east = {
    name: "east",
    server: "https://127.10.0.1:6443",
    caPem: "CA",
    clientCertPem: "CERT",
    clientKeyPem: "KEY",
  };
  const west = { name: "west", server: "https://127.20.0.1:6443", caPem: "CA2", token: "t" };

  it("makes a file that its owner alone may read, with its directory, and leaves nothing else there", async () => {
    const path = join(directory, "home", "config");
    await writeKubeconfig(path, [east, west]);
    equal((await stat(path)).mode & 0o777, 0o600);
    deepEqual(await readdir(join(directory, "home")), ["config"]);
    const config = await loadKubeConfig({ kubeconfigPath: path });
    deepEqual(contextNames(config), ["east", "west"]);
    equal(currentContext(config), "east");
    equal(clusterServer(config, "west"), west.server);
    equal(config.users.get("east")?.["client-key-data"], Buffer.from("KEY").toString("base64"));
  });

  it("sets its entries in an existing file and keeps the others, the mode and the current context", async () => {
    const path = await file("config", WEST);
    await writeKubeconfig(path, [west, east]);
    await writeKubeconfig(path, [{ ...east, server: "https://127.10.0.1:7443" }]);
    const config = await loadKubeConfig({ kubeconfigPath: path });
    deepEqual(contextNames(config), ["west", "bare", "east"]);
    equal(currentContext(config), "west");
    equal(clusterServer(config, "east"), "https://127.10.0.1:7443");
    equal(clusterServer(config, "west"), west.server);
    equal((await stat(path)).mode & 0o777, 0o600);
    await writeKubeconfig(path, [], "east");
    equal(currentContext(await loadKubeConfig({ kubeconfigPath: path })), "east");
  });

  it("leaves a file alone that it cannot read", async () => {
    const path = await file("config", "{broken");
    await rejects(writeKubeconfig(path, [east]), { code: "USAGE" });
    equal(await readFile(path, "utf8"), "{broken");
  });
});

describe("removeFromKubeconfig()", () => {
  it("takes contexts out, moves the current one on, and removes the file with the last", async () => {
    const path = join(directory, "config");
    const entry = { server: "https://127.10.0.1:6443", caPem: "CA", token: "t" };
    await writeKubeconfig(
      path,
      [
        { name: "east", ...entry },
        { name: "west", ...entry },
      ],
      "east",
    );
    await removeFromKubeconfig(path, ["east", "north"]);
    const config = await loadKubeConfig({ kubeconfigPath: path });
    deepEqual([contextNames(config), currentContext(config), [...config.users.keys()]], [["west"], "west", ["west"]]);
    await removeFromKubeconfig(path, ["west"]);
    await removeFromKubeconfig(path, ["west"]);
    deepEqual(await readdir(directory), []);
  });
});
