import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { connect } from "node:tls";

/** The first bytes of a TLS connection to `servername`, as Node's client sends them. */
export async function clientHello(servername: string): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({ host: "127.0.0.1", port, servername, ALPNProtocols: ["causeway/1"] });
  client.on("error", () => {});
  try {
    return await new Promise<Buffer>((resolve) => {
      server.once("connection", (socket) => socket.once("data", resolve));
    });
  } finally {
    client.destroy();
    server.close();
  }
}
