// An API server that does what a test tells it to, misbehaviour included. Not a test itself.
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import forge from "node-forge";
import type { KubeObject } from "./client.ts";
import { writeKubeconfig } from "./kubeconfig-file.ts";

export interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** Common name of the client's certificate, "" without one. */
  readonly client: string;
}

/** For the first `connectKube()` of a run: client-node is a thousand files, each through the TypeScript loader. */
export const IMPORT_TIMEOUT_MS = 90_000;

export type Handler = (request: Recorded, response: ServerResponse) => void;

/** A watch that a client has opened. */
export interface OpenWatch {
  readonly query: URLSearchParams;
  send(type: string, object: object): void;
  raw(text: string): void;
  end(): void;
  drop(): void;
  readonly closed: Promise<void>;
}

interface Pems {
  readonly caPem: string;
  readonly serverCert: string;
  readonly otherCaPem: string;
  readonly clientCertPem: string;
  readonly keyPem: string;
}

export class ScriptedServer {
  readonly url: string;
  readonly kubeconfigPath: string;
  readonly requests: Recorded[] = [];
  /** Answers every request; a test replaces it. */
  handler: Handler = (_request, response) => reply(response, 404, "404 page not found");
  readonly server: Server;
  readonly #directory: string;
  #watches: OpenWatch[] = [];
  #waiting: ((watch: OpenWatch) => void)[] = [];

  constructor(server: Server, url: string, directory: string) {
    this.server = server;
    this.url = url;
    this.#directory = directory;
    this.kubeconfigPath = join(directory, "config");
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { pathname, searchParams } = new URL(request.url ?? "/", url);
        const certificate = (request.socket as import("node:tls").TLSSocket).getPeerCertificate();
        const recorded: Recorded = {
          method: request.method ?? "",
          path: pathname,
          query: searchParams,
          headers: request.headers,
          body: Buffer.concat(chunks).toString("utf8"),
          client: String(certificate?.subject?.CN ?? ""),
        };
        this.requests.push(recorded);
        this.handler(recorded, response);
      });
    });
  }

  static async start(): Promise<ScriptedServer> {
    const pems = certificates();
    const server = createServer({
      key: pems.keyPem,
      cert: pems.serverCert,
      ca: pems.caPem,
      requestCert: true,
      rejectUnauthorized: false,
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const scripted = new ScriptedServer(server, url, await mkdtemp(join(tmpdir(), "kube-")));
    const { caPem, clientCertPem, keyPem: clientKeyPem } = pems;
    await writeKubeconfig(scripted.kubeconfigPath, [
      { name: "certificate", server: url, caPem, clientCertPem, clientKeyPem },
      { name: "token", server: url, caPem, token: "secret-token" },
      { name: "other-ca", server: url, caPem: pems.otherCaPem, token: "secret-token" },
    ]);
    return scripted;
  }

  /** Leaves `response` open as a watch, for `nextWatch`. */
  holdWatch(request: Recorded, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const watch: OpenWatch = {
      query: request.query,
      send: (type, object) => response.write(`${JSON.stringify({ type, object })}\n`),
      raw: (text) => response.write(text),
      end: () => response.end(),
      drop: () => response.destroy(),
      closed: new Promise((resolve) => response.on("close", resolve)),
    };
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#watches.push(watch);
    else waiting(watch);
  }

  /** The next watch that is opened, in order. */
  nextWatch(): Promise<OpenWatch> {
    const watch = this.#watches.shift();
    return watch === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(watch);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    await rm(this.#directory, { recursive: true, force: true });
  }
}

export function reply(
  response: ServerResponse,
  status: number,
  body: object | string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    "content-type": typeof body === "string" ? "text/plain" : "application/json",
    ...headers,
  });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

export function failure(
  response: ServerResponse,
  code: number,
  reason: string,
  message: string,
  details: object = {},
): void {
  reply(response, code, { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message, details });
}

export function object(name: string, resourceVersion: string, uid = `uid-${name}`): KubeObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "shop", uid, resourceVersion } };
}

/** One key for all, as making one takes long; it is the names that differ. */
function certificates(): Pems {
  const { pem, publicKey, privateKey } = keyPair();
  const issue = (name: string, issuer: string, ...extensions: object[]) =>
    certificate(name, publicKey, issuer, privateKey, extensions);
  return {
    caPem: issue("ca", "ca", { name: "basicConstraints", cA: true }),
    otherCaPem: issue("other", "other", { name: "basicConstraints", cA: true }),
    serverCert: issue("server", "ca", { name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] }),
    clientCertPem: issue("alice", "ca"),
    keyPem: pem,
  };
}

function keyPair(): { pem: string; publicKey: forge.pki.rsa.PublicKey; privateKey: forge.pki.rsa.PrivateKey } {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  return {
    pem: privateKey,
    publicKey: forge.pki.publicKeyFromPem(publicKey),
    privateKey: forge.pki.privateKeyFromPem(privateKey),
  };
}

function certificate(
  name: string,
  publicKey: forge.pki.rsa.PublicKey,
  issuer: string,
  signer: forge.pki.rsa.PrivateKey,
  extensions: object[],
): string {
  const made = forge.pki.createCertificate();
  made.publicKey = publicKey;
  made.serialNumber = forge.util.bytesToHex(`\x01${forge.random.getBytesSync(8)}`);
  made.validity.notBefore = new Date(Date.now() - 3_600_000);
  made.validity.notAfter = new Date(Date.now() + 3_600_000);
  made.setSubject([{ name: "commonName", value: name }]);
  made.setIssuer([{ name: "commonName", value: issuer }]);
  made.setExtensions(extensions);
  made.sign(signer, forge.md.sha256.create());
  return forge.pki.certificateToPem(made);
}
