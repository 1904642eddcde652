import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { accepting, type RunningProgram, requireProgram, startProgram } from "../measure/programs.ts";
import { startPeer, startPeerPair } from "./peer.ts";
import { BULK_BUFFER_BYTES, SERVER_NAME, type Setting, type Subject } from "./subject.ts";

/** A core of its own, as every subject has: one worker, and no admin port. */
async function start(setting: Setting, name: string, config: object, port: number): Promise<RunningProgram> {
  const program = requireProgram("envoy");
  const file = join(setting.folder, `envoy-${name}.json`);
  await writeFile(file, JSON.stringify(config));
  const running = startProgram(setting.cores.subject, [
    program,
    "-c",
    file,
    "--concurrency",
    "1",
    "--disable-hot-restart",
    "--log-level",
    "warning",
  ]);
  await accepting(port, running);
  return running;
}

const typed = (name: string, value: object) => ({ "@type": `type.googleapis.com/${name}`, ...value });
const address = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
const EXPLICIT_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

function tlsParameters(chain: string, key: string, root: string): object {
  return {
    tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
    tls_certificates: [{ certificate_chain: { filename: chain }, private_key: { filename: key } }],
    validation_context: { trusted_ca: { filename: root } },
  };
}

function httpProxy(port: number, to: number, more: { http2?: boolean; listenTls?: object; dialTls?: object }): object {
  const { http2 = false, listenTls, dialTls } = more;
  const router = {
    name: "envoy.filters.http.router",
    typed_config: typed("envoy.extensions.filters.http.router.v3.Router", {}),
  };
  const manager = typed("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
    stat_prefix: "bench",
    codec_type: http2 ? "HTTP2" : "HTTP1",
    route_config: {
      virtual_hosts: [
        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "next" } }] },
      ],
    },
    http_filters: [router],
  });
  const tls = (kind: string, context: object | undefined) =>
    context === undefined
      ? {}
      : {
          transport_socket: {
            name: "envoy.transport_sockets.tls",
            typed_config: typed(`envoy.extensions.transport_sockets.tls.v3.${kind}`, context),
          },
        };
  return {
    static_resources: {
      listeners: [
        {
          address: address(port),
          filter_chains: [
            {
              filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }],
              ...tls("DownstreamTlsContext", listenTls),
            },
          ],
        },
      ],
      clusters: [
        {
          name: "next",
          type: "STATIC",
          connect_timeout: "5s",
          circuit_breakers: { thresholds: [{ max_connections: 4096, max_pending_requests: 4096, max_requests: 4096 }] },
          typed_extension_protocol_options: {
            [EXPLICIT_HTTP]: typed(EXPLICIT_HTTP, {
              explicit_http_config: http2 ? { http2_protocol_options: {} } : { http_protocol_options: {} },
            }),
          },
          load_assignment: {
            cluster_name: "next",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(to) } }] }],
          },
          ...tls("UpstreamTlsContext", dialTls),
        },
      ],
    },
  };
}

/** One Envoy: HTTP/1.1 in, HTTP/1.1 out. */
export function startEnvoy(setting: Setting): Promise<Subject> {
  return startPeer("envoy", (port) => start(setting, "http1", httpProxy(port, setting.appPort, {}), port));
}

/** One Envoy: HTTP/2 without TLS in and out. */
export function startEnvoyHttp2(setting: Setting): Promise<Subject> {
  return startPeer("envoy", (port) => start(setting, "http2", httpProxy(port, setting.appPort, { http2: true }), port));
}

/** Two Envoys with mutual TLS 1.3 between them. BoringSSL chooses TLS_AES_128_GCM_SHA256 where AES is in hardware. */
export function startEnvoyPair(setting: Setting): Promise<Subject> {
  return startPeerPair("envoy", setting, {
    inbound: (tlsPort) => {
      const { root, server } = setting.certificates();
      const listenTls = {
        require_client_certificate: true,
        common_tls_context: tlsParameters(server.chain, server.key, root),
      };
      return start(setting, "inbound", httpProxy(tlsPort, setting.appPort, { listenTls }), tlsPort);
    },
    outbound: (port, tlsPort) => {
      const { root, client } = setting.certificates();
      const dialTls = { common_tls_context: tlsParameters(client.chain, client.key, root) };
      return start(setting, "outbound", httpProxy(port, tlsPort, { dialTls }), port);
    },
  });
}

/** One Envoy that passes TLS on by SNI. */
export function startEnvoyRelay(setting: Setting): Promise<Subject> {
  return startPeer("envoy", (port) => start(setting, "relay", relay(setting, port), port));
}

function relay(setting: Setting, port: number): object {
  const inspector = {
    name: "envoy.filters.listener.tls_inspector",
    typed_config: typed("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", {}),
  };
  const proxy = {
    name: "envoy.filters.network.tcp_proxy",
    typed_config: typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", {
      stat_prefix: "bench",
      cluster: "next",
    }),
  };
  return {
    static_resources: {
      listeners: [
        {
          address: address(port),
          per_connection_buffer_limit_bytes: BULK_BUFFER_BYTES,
          listener_filters: [inspector],
          filter_chains: [{ filter_chain_match: { server_names: [SERVER_NAME] }, filters: [proxy] }],
        },
      ],
      clusters: [
        {
          name: "next",
          type: "STATIC",
          connect_timeout: "5s",
          per_connection_buffer_limit_bytes: BULK_BUFFER_BYTES,
          load_assignment: {
            cluster_name: "next",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(setting.appPort) } }] }],
          },
        },
      ],
    },
  };
}
