// A server for pods of tests that speaks several protocols: HTTP/1.1 with WebSockets, trailers and early hints; HTTPS on
// 8443; and on 3306 one where the server speaks first.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocketServer } from "ws";

const { HOST = "127.0.0.1", PORT = "8081" } = process.env;

const http = createServer((request, response) => {
  if (request.url !== "/trailer") {
    response.end("plain\n");
    return;
  }
  response.writeEarlyHints({ link: "</style.css>; rel=preload" });
  response.setHeader("trailer", "x-sum");
  response.write("a");
  response.write("bc");
  response.addTrailers({ "x-sum": "3" });
  response.end();
});
const sockets = new WebSocketServer({ server: http, path: "/chat" });
sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));

const folder = mkdtempSync(join(tmpdir(), "causeway-talk-"));
const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
const subject = ["-subj", "/CN=talk", "-days", "1", "-nodes"];
execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-keyout", key, "-out", cert, ...subject], {
  stdio: "ignore",
});
const https = createHttpsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) => {
  response.end("over TLS\n");
});
rmSync(folder, { recursive: true });

http.listen({ host: HOST, port: Number(PORT) }, () => console.log(`talk listens on ${HOST}:${PORT}`));
https.listen({ host: HOST, port: 8_443 });
const greeting = createTcpServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.write("greeting of the server");
});
greeting.listen({ host: HOST, port: 3_306 });
process.once("SIGTERM", () => process.exit(0));
