import { deepEqual, doesNotMatch, equal, match, ok } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { credentials, type ServiceError } from "@grpc/grpc-js";
import { ownedProcesses } from "../clusters/process-record.ts";
import { CA_NAMESPACE, PORTS } from "../core/defaults.ts";
import { createKeyPair, createLeaf, parseCertificate, parsePrivateKey, pemOf } from "../identity/certificate.ts";
import { loadFederation } from "../protos/load.ts";
import { HTTP1, MESH_ALPN, writePreface } from "../proxy/preface.ts";
import { run } from "./support/commands.ts";
import { LocalMesh, reached } from "./support/local-mesh.ts";
import { OpenSsl } from "./support/openssl.ts";

const WEB_EAST = "web-east.shop.svc.cluster.local";
const CLIENT = "spiffe://west.mesh/ns/shop/sa/client";
const WEB_PORT = 8080;

interface Pair {
  readonly key: string;
  readonly cert: string;
}

interface SecretJson {
  readonly data: Record<string, string>;
}

describe("two linked clusters, attacked", () => {
  let mesh: LocalMesh;
  let openssl: OpenSsl;
  let foreign: Pair;
  let route: string;
  let relay: { host: string; port: number };

  before(async () => {
    openssl = new OpenSsl();
    openssl.certificate("ca", "ca", "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n");
    const extensions = `subjectAltName=URI:${CLIENT}\nextendedKeyUsage=clientAuth,serverAuth\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:false\n`;
    openssl.certificate("client", "ca", extensions);
    const [key, leaf, ca] = ["client.key", "client.pem", "ca.pem"].map((name) => openssl.read(name).toString());
    foreign = { key: key ?? "", cert: `${leaf}${ca}` };
    mesh = await LocalMesh.start();
    await mesh.meshOutput("link", "--context", "east");
    await mesh.meshOutput("export", "shop/web", "--context", "east");
    await mesh.kubectlApply(
      "east",
      `apiVersion: v1
kind: Service
metadata: { name: hidden, namespace: shop }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 8090, targetPort: http, appProtocol: http }]
`,
    );
    await mesh.answered("west", WEB_EAST, "east");
    relay = { host: mesh.layout("east").gateway, port: PORTS.relay };
    route = (await mesh.routeNames("east", "west", "web", 80))[0] ?? "";
  });

  after(async () => {
    openssl?.[Symbol.dispose]();
    await mesh?.stop();
  });

  /** What a sidecar would send and hear, with whatever certificate: the answer's text, or why there is none. */
  function call(
    servername: string,
    pair: Pair | undefined,
    port = WEB_PORT,
  ): Promise<{ answer: string; error: string }> {
    return new Promise((resolve) => {
      let answer = "";
      let error = "";
      const socket = connect({
        ...relay,
        servername,
        ALPNProtocols: [MESH_ALPN],
        rejectUnauthorized: false,
        ...(pair === undefined ? {} : pair),
      });
      socket.setTimeout(20_000, () => socket.destroy(new Error("no answer")));
      socket.once("secureConnect", () => {
        socket.write(writePreface({ protocol: HTTP1, port }));
        socket.write("GET /?whoami HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
      });
      socket.on("data", (data) => {
        answer += data.toString();
      });
      socket.once("error", (cause) => {
        error = cause.message;
      });
      socket.once("close", () => resolve({ answer, error }));
    });
  }

  /** A certificate for `identity` out of the CA of `cluster`: what only that cluster's control could make. */
  async function forge(cluster: string, identity: string): Promise<Pair> {
    const { data } = await mesh.json<SecretJson>(cluster, "-n", CA_NAMESPACE, "secret", "causeway-ca");
    const text = (name: string) => Buffer.from(data[name] ?? "", "base64").toString();
    const issuer = {
      certificate: parseCertificate(text("issuer.crt")),
      privateKey: parsePrivateKey(text("issuer.key")),
    };
    const { publicKey, privateKey } = await createKeyPair();
    const leaf = createLeaf(identity, publicKey, issuer, Date.now());
    const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    return { key, cert: pemOf([leaf, issuer.certificate]) };
  }

  describe("a service that is not exported", () => {
    it("has no name in the other cluster, and its name gets no answer there", async () => {
      for (const name of ["hidden", "hidden-east"]) {
        const host = `${name}.shop.svc.cluster.local`;
        match((await mesh.dig("west", host)).stdout, /status: NXDOMAIN/);
        const { stdout } = await mesh.curl("west", `http://${host}:8090/`, "--include");
        match(stdout, /^HTTP\/1\.1 503 /);
        match(stdout, /x-causeway-error: PROXY_UNKNOWN_SERVICE/);
      }
    });

    it("is relayed to under no server name: invented, plausible, or right but for the export", async () => {
      const [would = ""] = await mesh.routeNames("east", "west", "hidden", 8090, "web");
      match(would, /^[a-z2-7]{26}\.east\.mesh$/);
      const names = [would, `${"a".repeat(26)}.east.mesh`, "hidden.shop.svc.cluster.local", WEB_EAST, "east.mesh"];
      for (const name of names) {
        const { stderr, stdout } = await run("openssl", [
          ...["s_client", "-connect", `${relay.host}:${relay.port}`, "-servername", name],
        ]);
        match(stderr, /alert unrecognized name|unrecognized name/i, name);
        match(stdout, /no peer certificate available/);
      }
      const { stderr } = await run("openssl", ["s_client", "-connect", `${relay.host}:${relay.port}`, "-noservername"]);
      match(stderr, /unrecognized name/);
    });
  });

  describe("a route name that leaked", () => {
    it("leads through the relay to the sidecar's own certificate: the relay decrypts nothing", async () => {
      const { stdout } = await run("openssl", [
        ...["s_client", "-connect", `${relay.host}:${relay.port}`, "-servername", route],
        ...["-alpn", MESH_ALPN, "-showcerts"],
      ]);
      const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(stdout)?.[0] ?? "";
      equal(new X509Certificate(pem).subjectAltName, "URI:spiffe://east.mesh/ns/shop/sa/web");
    });

    it("is of use to a certificate of the linked cluster's CA", async () => {
      const { answer } = await call(route, await forge("west", CLIENT));
      match(answer, /^HTTP\/1\.1 200 /);
      match(answer, new RegExp(`"client":"${CLIENT}"`));
    });

    it("is of no use without a certificate", async () => {
      equal((await call(route, undefined)).answer, "");
    });

    it("is of no use to a certificate of another CA, whatever identity it claims", async () => {
      equal((await call(route, foreign)).answer, "");
      const files = ["-cert", join(openssl.directory, "client.pem"), "-key", join(openssl.directory, "client.key")];
      const { stderr } = await run("openssl", [
        ...["s_client", "-connect", `${relay.host}:${relay.port}`, "-servername", route],
        ...["-alpn", MESH_ALPN, "-ign_eof", ...files],
      ]);
      match(stderr, /unexpected eof|alert/);
    });

    it("is of no use to a certificate with which one cluster's CA claims an identity of the other", async () => {
      // East is trusted for east.mesh, west for west.mesh, and neither for the other's.
      for (const [cluster, identity] of [
        ["east", CLIENT],
        ["west", "spiffe://east.mesh/ns/shop/sa/web"],
        ["west", "spiffe://north.mesh/ns/shop/sa/client"],
      ] as const) {
        const { answer } = await call(route, await forge(cluster, identity));
        equal(answer, "", `${cluster}'s CA is not believed to know ${identity}`);
      }
    });

    it("opens no other port of the pod than the exported service's", async () => {
      const client = await forge("west", CLIENT);
      for (const port of [PORTS.admin, PORTS.outbound, 9_999]) {
        const { answer } = await call(route, client, port);
        doesNotMatch(answer, /^HTTP\/1\.1 [23]/, `port ${port}`);
      }
    });
  });

  describe("the federation port", () => {
    /** How a Sync with this certificate ends. */
    function sync(pair: Pair | undefined): Promise<ServiceError | "answered"> {
      const { Federation } = loadFederation();
      const [key, cert] = pair === undefined ? [null, null] : [Buffer.from(pair.key), Buffer.from(pair.cert)];
      const tls = credentials.createSsl(null, key, cert, {
        checkServerIdentity: () => undefined,
        rejectUnauthorized: false,
      });
      // No SNI may be an address.
      const named = { "grpc.ssl_target_name_override": "east.mesh" };
      const client = new Federation(`${relay.host}:${PORTS.federation}`, tls, named);
      return new Promise<ServiceError | "answered">((resolve) => {
        const stream = client.Sync({ deadline: Date.now() + 30_000 });
        stream.on("data", () => resolve("answered"));
        stream.on("error", (error: ServiceError) => resolve(error));
        stream.on("end", () => {});
      }).finally(() => client.close());
    }

    it("takes no stream from a foreign certificate, from none, or from a workload that is no gateway", async () => {
      const gateway = "spiffe://west.mesh/ns/causeway-system/sa/causeway-gateway";
      const callers = {
        foreign,
        none: undefined,
        workload: await forge("west", CLIENT),
        other: await forge("east", gateway),
      };
      for (const [who, pair] of Object.entries(callers)) {
        const end = await sync(pair);
        ok(end !== "answered", `${who} is refused`);
        ok(end.code === 14 || end.code === 16 || end.code === 7, `${who}: ${end.code} ${end.message}`);
      }
      equal(await mesh.linkPhase("east", "west"), "active");
    });

    it("shows that the certificate decides: the same call with the gateway's own is answered", async () => {
      const gateway = "spiffe://west.mesh/ns/causeway-system/sa/causeway-gateway";
      equal(await sync(await forge("west", gateway)), "answered");
      await mesh.linkActive("west", "east");
    });
  });

  describe("what lies about", () => {
    function files(directory: string): string[] {
      return readdirSync(directory, { recursive: true, encoding: "utf8" }).map((name) => join(directory, name));
    }

    it("is the owner's alone: no file or folder of the home can be read by others", () => {
      const open = [mesh.home, ...files(mesh.home)].filter((path) => (statSync(path).mode & 0o077) !== 0);
      deepEqual(open, []);
    });

    it("holds no secret in logs, command lines or environments", async () => {
      const secrets = new Map<string, string>();
      for (const cluster of mesh.clusters) {
        const { redisDirectory, directory } = mesh.layout(cluster);
        secrets.set(`${cluster} redis`, readFileSync(join(redisDirectory, "password"), "utf8"));
        type Secrets = { items: (SecretJson & { metadata: { name: string } })[] };
        for (const { metadata, data } of (await mesh.json<Secrets>(cluster, "secrets", "-A")).items) {
          for (const [field, value] of Object.entries(data)) {
            if (!/key|secret|token/i.test(field)) continue;
            secrets.set(`${cluster} ${metadata.name} ${field}`, value);
            const text = Buffer.from(value, "base64").toString();
            // Of PEM, a line: logs would have it escaped.
            secrets.set(`${cluster} ${metadata.name} ${field} text`, text.split("\n")[1] ?? text);
          }
        }
        for (const path of files(directory).filter((name) => /[/]token$|admin-token$/.test(name)))
          secrets.set(path, readFileSync(path, "utf8").trim());
      }
      ok(secrets.size > 10, `${secrets.size} secrets are looked for`);
      const places = new Map<string, string>();
      for (const cluster of mesh.clusters) {
        const { directory } = mesh.layout(cluster);
        for (const path of files(directory).filter((name) => name.endsWith(".log")))
          places.set(path, readFileSync(path, "utf8"));
        for (const { pid } of ownedProcesses(directory))
          for (const file of ["cmdline", "environ"])
            places.set(`${file} of ${pid}`, readFileSync(`/proc/${pid}/${file}`, "latin1"));
      }
      ok(places.size > 30, `${places.size} places are searched`);
      const found: string[] = [];
      for (const [place, text] of places) {
        if (/PRIVATE KEY|mesh1\.[A-Za-z0-9_-]{40}|eyJ[A-Za-z0-9_-]{20,}\.eyJ/.test(text))
          found.push(`${place}: a key or token`);
        for (const [name, secret] of secrets)
          if (secret.length >= 12 && text.includes(secret)) found.push(`${place}: ${name}`);
      }
      deepEqual(found, []);
    });

    it("lets nobody in at the API server without credentials, or with those of a foreign CA", async () => {
      const { host, port } = mesh.layout("west").apiServer;
      const url = `https://${host}:${port}/api/v1/namespaces/causeway-system/secrets`;
      const get = (...args: string[]) => run("curl", ["-sS", "-k", "--max-time", "20", ...args, url]);
      match((await get()).stdout, /"code": ?(401|403)/);
      match((await get("-H", "authorization: Bearer nonsense")).stdout, /"code": ?401/);
      const files = ["--cert", join(openssl.directory, "client.pem"), "--key", join(openssl.directory, "client.key")];
      const { code, stdout } = await get(...files);
      ok(code !== 0 || /"code": ?(401|403)/.test(stdout), stdout);
      await reached("the owner is let in", async () => (await mesh.names("west", "secrets", "-A")).length > 0);
    });
  });
});
