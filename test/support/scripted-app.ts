import { type AddressInfo, createServer, type Socket } from "node:net";

/** What an app does on one connection with a request whose head has come. */
export type AppScript = (socket: Socket, target: string) => void;

export interface ScriptedApp {
  readonly port: number;
  /** Open connections. */
  readonly open: number;
  /** Gives all of them up. */
  drop(): void;
  close(): Promise<void>;
}

const HEAD_END = "\r\n\r\n";

/** An app on plain sockets: `scripts` by the request's path. It reads heads only; what a script does not read stays. */
export async function startScriptedApp(scripts: Readonly<Record<string, AppScript>>): Promise<ScriptedApp> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("end", () => socket.end());
    let text = "";
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      for (let end = text.indexOf(HEAD_END); end >= 0; end = text.indexOf(HEAD_END)) {
        const target = text.split(" ", 2)[1] ?? "";
        text = text.slice(end + HEAD_END.length);
        scripts[target.split("?")[0] ?? ""]?.(socket, target);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0, backlog: 4_096 }, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get open() {
      return sockets.size;
    },
    drop() {
      for (const socket of sockets) socket.destroy();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
