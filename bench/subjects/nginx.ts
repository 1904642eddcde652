import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  accepting,
  freePort,
  Missing,
  type RunningProgram,
  requireProgram,
  startProgram,
} from "../measure/programs.ts";
import { startPeer, startPeerPair } from "./peer.ts";
import { AUTHORITY, BULK_BUFFER_BYTES, CIPHER, SERVER_NAME, type Setting, type Subject } from "./subject.ts";

/** Idle connections to the app that are kept: more than any load has open. */
const KEPT = 512;
const FOR_EVER = 1_000_000_000;

function main(folder: string): string {
  return `daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 8192; multi_accept on; }
`;
}

function http(folder: string, body: string): string {
  return `${main(folder)}http {
  access_log off;
  keepalive_requests ${FOR_EVER};
  keepalive_timeout 1h;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  ${body}
}
`;
}

const FORWARD = `proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;`;

function upstream(port: number): string {
  return `upstream next { server 127.0.0.1:${port}; keepalive ${KEPT}; keepalive_requests ${FOR_EVER}; keepalive_timeout 1h; }`;
}

async function start(
  setting: Omit<Setting, "appPort">,
  name: string,
  text: (folder: string) => string,
  port: number,
  core = setting.cores.subject,
) {
  const program = requireProgram("nginx");
  const folder = join(setting.folder, `nginx-${name}`);
  await mkdir(folder);
  const file = join(folder, "nginx.conf");
  await writeFile(file, text(folder));
  const running: RunningProgram = startProgram(core, [program, "-p", folder, "-c", file]);
  await accepting(port, running);
  return running;
}

/** One nginx: HTTP/1.1 in, HTTP/1.1 out over kept connections. */
export function startNginx(setting: Setting): Promise<Subject> {
  return startPeer("nginx", (port) =>
    start(
      setting,
      "http1",
      (folder) =>
        http(
          folder,
          `${upstream(setting.appPort)}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://next;
      ${FORWARD}
    }
  }`,
        ),
      port,
    ),
  );
}

/** Two nginx with mutual TLS 1.3 between them, connections kept and sessions resumed. */
export function startNginxPair(setting: Setting): Promise<Subject> {
  return startPeerPair("nginx", setting, {
    inbound: (tlsPort) => {
      const { root, server } = setting.certificates();
      return start(
        setting,
        "inbound",
        (folder) =>
          http(
            folder,
            `${upstream(setting.appPort)}
  server {
    listen 127.0.0.1:${tlsPort} ssl;
    ssl_certificate ${server.chain};
    ssl_certificate_key ${server.key};
    ssl_client_certificate ${root};
    ssl_verify_client on;
    ssl_verify_depth 3;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites ${CIPHER};
    ssl_session_cache shared:SSL:4m;
    location / {
      proxy_pass http://next;
      ${FORWARD}
    }
  }`,
          ),
        tlsPort,
      );
    },
    outbound: (port, tlsPort) => {
      const { root, client } = setting.certificates();
      return start(
        setting,
        "outbound",
        (folder) =>
          http(
            folder,
            `${upstream(tlsPort)}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass https://next;
      proxy_ssl_certificate ${client.chain};
      proxy_ssl_certificate_key ${client.key};
      proxy_ssl_trusted_certificate ${root};
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 3;
      proxy_ssl_name ${AUTHORITY};
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_conf_command Ciphersuites ${CIPHER};
      ${FORWARD}
    }
  }`,
          ),
        port,
      );
    },
  });
}

const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

/** One nginx that passes TLS on by SNI. */
export function startNginxRelay(setting: Setting): Promise<Subject> {
  return startPeer("nginx", (port) => {
    if (!existsSync(STREAM_MODULE)) throw new Missing("nginx has no stream module (Debian: libnginx-mod-stream)");
    return start(
      setting,
      "relay",
      (folder) => `load_module ${STREAM_MODULE};
${main(folder)}stream {
  map $ssl_preread_server_name $next {
    ${SERVER_NAME} 127.0.0.1:${setting.appPort};
    default "";
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    ssl_preread on;
    proxy_pass $next;
    proxy_buffer_size ${BULK_BUFFER_BYTES};
    proxy_timeout 1h;
    tcp_nodelay on;
  }
}
`,
      port,
    );
  });
}

/** An app that speaks HTTP/2 without TLS, on the core of the load. */
export async function startNginxHttp2App(setting: Omit<Setting, "appPort">, bodyBytes: number) {
  const port = await freePort();
  const running = await start(
    setting,
    "http2-app",
    (folder) =>
      http(
        folder,
        `http2_max_concurrent_streams 1024;
  server {
    listen 127.0.0.1:${port} http2;
    location / { return 200 "${"x".repeat(bodyBytes)}"; }
  }`,
      ),
    port,
    setting.cores.load,
  );
  return { port, stop: () => running.stop() };
}
