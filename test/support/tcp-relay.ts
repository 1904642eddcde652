import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Between a client and a server: late, cut, or led to another server, as a test wants it. */
export class TcpRelay {
  readonly port: number;
  /** Added to each direction. */
  delayMs = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: number;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    const address = server.address();
    this.port = typeof address === "object" && address !== null ? address.port : 0;
    server.on("connection", (client) => this.#join(client));
  }

  /** To `target` on 127.0.0.1. */
  static async start(target: number): Promise<TcpRelay> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new TcpRelay(server, target);
  }

  /** Cuts what is connected and leads what comes to `target`. */
  lead(target: number): void {
    this.#target = target;
    this.cut();
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(client: Socket): void {
    const server = connect(this.#target, "127.0.0.1");
    const ends = [client, server];
    for (const socket of ends) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        for (const end of ends) end.destroy();
      });
    }
    this.#pass(client, server);
    this.#pass(server, client);
  }

  /** In order, also when the delay changes. */
  #pass(from: Socket, to: Socket): void {
    const held: { chunk: Buffer; atMs: number }[] = [];
    const next = () => {
      const [first] = held;
      if (first === undefined || to.destroyed) return;
      setTimeout(() => {
        held.shift();
        if (!to.destroyed) to.write(first.chunk);
        next();
      }, first.atMs - performance.now());
    };
    from.on("data", (chunk: Buffer) => {
      if (this.delayMs === 0 && held.length === 0) {
        to.write(chunk);
        return;
      }
      held.push({ chunk, atMs: performance.now() + this.delayMs });
      if (held.length === 1) next();
    });
  }
}
