import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import path from "node:path";
import { type Clock, every } from "../../core/clock.ts";
import { asMeshError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { createAuthenticator } from "./auth/authenticate.ts";
import { type Credentials, loadCredentials } from "./auth/credentials.ts";
import { RbacAuthorizer } from "./auth/rbac.ts";
import { ServiceAccountTokens } from "./auth/tokens.ts";
import { seedCluster } from "./bootstrap.ts";
import type { ControllerContext } from "./controllers/controller.ts";
import { customResourceController } from "./controllers/custom-resources.ts";
import { deploymentController } from "./controllers/deployments.ts";
import { endpointSliceController } from "./controllers/endpoint-slices.ts";
import { expireEvents } from "./controllers/events.ts";
import { garbageController } from "./controllers/garbage.ts";
import { namespaceController } from "./controllers/namespaces.ts";
import { replicaSetController } from "./controllers/replica-sets.ts";
import { runControllers } from "./controllers/run.ts";
import { scheduler } from "./controllers/scheduler.ts";
import { Discovery } from "./http/discovery.ts";
import { RequestHandler } from "./http/handler.ts";
import { ObjectHandlers } from "./http/objects.ts";
import { ReviewHandlers } from "./http/reviews.ts";
import { SubresourceHandlers } from "./http/subresources.ts";
import { Watches } from "./http/watch.ts";
import { Catalog } from "./kinds/catalog.ts";
import { Operations } from "./operations.ts";
import { ServiceAddresses } from "./service-addresses.ts";
import { FileJournal } from "./store/journal.ts";
import { Store } from "./store/store.ts";

export interface ApiServerOptions {
  /** Name of the cluster, for its certificates. */
  readonly cluster: string;
  /** Address to listen on. */
  readonly host: string;
  /** 0 for a free one. */
  readonly port: number;
  /** Objects and keys live here; a later start on it carries on. */
  readonly stateDir: string;
  /** IPv4 range of Services' addresses, like 127.20.128.0/17. */
  readonly serviceCidr: string;
  /** EndpointSlices may hold 127.0.0.0/8: for clusters whose pods live on loopback. A real server refuses that. */
  readonly allowLoopbackEndpoints: boolean;
  /** Unix socket of the node agent, which serves logs and exec. */
  readonly kubeletSocket?: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RunningApiServer {
  readonly url: string;
  readonly caPem: string;
  /** Of user `admin` in `system:masters`. */
  readonly admin: { readonly certPem: string; readonly keyPem: string; readonly token: string };
  close(): Promise<void>;
}

const HISTORY = 2_000;
const SYNC_MS = 1_000;
const EVENT_SWEEP_MS = 60_000;
const HEADERS_MS = 15_000;
const REQUEST_MS = 60_000;
const IDLE_MS = 120_000;
const MAX_CONNECTIONS = 4_000;

/**
 * Starts an API server for a laptop or a test. It is no place for real workloads: one process, one node's worth of
 * state, no server-side apply, no admission webhooks. @throws MeshError PORT_IN_USE, USAGE, INTERNAL
 */
export async function startApiServer(options: ApiServerOptions): Promise<RunningApiServer> {
  const { clock, log, host, cluster } = options;
  const wallMs = () => clock.wallMs();
  const hosts = [
    ...new Set([host, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]),
  ];
  const credentials = loadCredentials(path.join(options.stateDir, "pki"), cluster, hosts, wallMs());
  const server = createServer({
    key: credentials.server.keyPem,
    cert: credentials.server.certPem,
    ca: credentials.ca.certPem,
    requestCert: true,
    // The authenticator decides: a request may come with a token instead.
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
    headersTimeout: HEADERS_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: IDLE_MS,
    maxHeaderSize: 64 * 1024,
  });
  server.maxConnections = MAX_CONNECTIONS;
  // Upgraded connections (exec) are the server's no longer, so it would not close them.
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", (error) => log.debug("tls failed", { error: error.message }));
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, host, resolve);
    });
  } catch (error) {
    throw asMeshError(error, "PORT_IN_USE", `listen on ${host}:${options.port} for the API server of ${cluster}`);
  }

  // Whoever has the port has the state: it is read only now. All of this is synchronous, so no request comes between.
  let journal: FileJournal;
  let store: Store;
  let operations: Operations;
  try {
    journal = new FileJournal(path.join(options.stateDir, "store"));
    store = new Store({ journal, historyLimit: HISTORY });
    operations = assemble(options, store);
    seedCluster(operations);
  } catch (error) {
    server.close();
    throw asMeshError(error, "LOCAL_START", `read the state of cluster ${cluster} in ${options.stateDir}`);
  }
  const tokens = new ServiceAccountTokens({
    key: credentials.tokenKey,
    issuer: "https://kubernetes.default.svc.cluster.local",
    store,
    wallMs,
  });
  const watches = new Watches(store, clock);
  const handler = createHandler(options, credentials, operations, tokens, watches);
  server.on("request", (request, response) => void handler.serve(request, response));
  server.on("upgrade", (request, socket, head) => void handler.upgrade(request, socket, head));

  const context: ControllerContext = { store, operations, clock, log };
  const stops = [
    runControllers(context, [
      // First, because traffic waits for it.
      endpointSliceController(context),
      namespaceController(context, credentials.ca.certPem),
      garbageController(context),
      customResourceController(context),
      deploymentController(context),
      replicaSetController(context),
      scheduler(context),
    ]),
    every(clock, SYNC_MS, () => store.maintain()),
    every(clock, EVENT_SWEEP_MS, () => expireEvents(store, wallMs())),
  ];
  const { port } = server.address() as AddressInfo;
  log.info("api server listens", { cluster, host, port, revision: store.revision });

  let closing: Promise<void> | undefined;
  const close = async () => {
    for (const stop of stops) stop();
    watches.close();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
    journal.close();
  };
  return {
    url: `https://${host}:${port}`,
    caPem: credentials.ca.certPem,
    admin: { ...credentials.admin, token: credentials.adminToken },
    close: () => (closing ??= close()),
  };
}

function assemble({ clock, allowLoopbackEndpoints, serviceCidr }: ApiServerOptions, store: Store): Operations {
  const addresses = new ServiceAddresses(serviceCidr, store);
  return new Operations(new Catalog(store), {
    store,
    wallMs: () => clock.wallMs(),
    allowLoopbackEndpoints,
    allocateIp: () => addresses.allocate(),
    ipState: (ip) => addresses.state(ip),
  });
}

function createHandler(
  options: ApiServerOptions,
  credentials: Credentials,
  operations: Operations,
  tokens: ServiceAccountTokens,
  watches: Watches,
): RequestHandler {
  const { clock, log, host, port } = options;
  const authorizer = new RbacAuthorizer(operations.context.store);
  const objects = new ObjectHandlers(operations, watches, clock);
  return new RequestHandler({
    operations,
    authenticator: createAuthenticator({
      caPem: credentials.ca.certPem,
      adminToken: credentials.adminToken,
      tokens,
      wallMs: () => clock.wallMs(),
    }),
    authorizer,
    discovery: new Discovery(operations.catalog, `${host}:${port}`),
    objects,
    subresources: new SubresourceHandlers(operations, objects, tokens),
    reviews: new ReviewHandlers(tokens, authorizer),
    kubeletSocket: options.kubeletSocket,
    log,
  });
}
