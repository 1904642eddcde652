import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { accepting, type RunningProgram, requireProgram, startProgram } from "../measure/programs.ts";
import { startPeer, startPeerPair } from "./peer.ts";
import { BULK_BUFFER_BYTES, CIPHER, SERVER_NAME, type Setting, type Subject } from "./subject.ts";

const GLOBAL = `global
  nbthread 1
  maxconn 8000
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites ${CIPHER}
  ssl-default-server-ciphersuites ${CIPHER}
`;
const HTTP_DEFAULTS = `defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  http-reuse always
  option forwardfor
`;

async function start(setting: Setting, name: string, text: string, port: number): Promise<RunningProgram> {
  const program = requireProgram("haproxy");
  const file = join(setting.folder, `haproxy-${name}.cfg`);
  await writeFile(file, text);
  const running = startProgram(setting.cores.subject, [program, "-db", "-f", file]);
  await accepting(port, running);
  return running;
}

/** One HAProxy: HTTP/1.1 in, HTTP/1.1 out. */
export function startHaproxy(setting: Setting): Promise<Subject> {
  return startPeer("haproxy", (port) =>
    start(
      setting,
      "http1",
      `${GLOBAL}${HTTP_DEFAULTS}
listen plain
  bind 127.0.0.1:${port}
  server app 127.0.0.1:${setting.appPort}
`,
      port,
    ),
  );
}

/** Two HAProxys with mutual TLS 1.3 between them. */
export function startHaproxyPair(setting: Setting): Promise<Subject> {
  return startPeerPair("haproxy", setting, {
    inbound: (tlsPort) => {
      const { root, server } = setting.certificates();
      return start(
        setting,
        "inbound",
        `${GLOBAL}${HTTP_DEFAULTS}
listen mtls
  bind 127.0.0.1:${tlsPort} ssl crt ${server.both} ca-file ${root} verify required
  server app 127.0.0.1:${setting.appPort}
`,
        tlsPort,
      );
    },
    outbound: (port, tlsPort) => {
      const { root, client } = setting.certificates();
      return start(
        setting,
        "outbound",
        `${GLOBAL}${HTTP_DEFAULTS}
listen plain
  bind 127.0.0.1:${port}
  server peer 127.0.0.1:${tlsPort} ssl crt ${client.both} ca-file ${root} verify required
`,
        port,
      );
    },
  });
}

/** One HAProxy that passes TLS on by SNI. */
export function startHaproxyRelay(setting: Setting): Promise<Subject> {
  return startPeer("haproxy", (port) =>
    start(
      setting,
      "relay",
      `${GLOBAL}  tune.bufsize ${BULK_BUFFER_BYTES}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend relay
  bind 127.0.0.1:${port}
  tcp-request inspect-delay 10s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend app if { req.ssl_sni -i ${SERVER_NAME} }
backend app
  server app 127.0.0.1:${setting.appPort}
`,
      port,
    ),
  );
}

/** One HAProxy: HTTP/2 without TLS in and out. */
export function startHaproxyHttp2(setting: Setting): Promise<Subject> {
  return startPeer("haproxy", (port) =>
    start(
      setting,
      "http2",
      `${GLOBAL}${HTTP_DEFAULTS}
listen h2
  bind 127.0.0.1:${port} proto h2
  server app 127.0.0.1:${setting.appPort} proto h2
`,
      port,
    ),
  );
}
