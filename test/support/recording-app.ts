import { type AddressInfo, createServer } from "node:net";
import { Llhttp } from "./llhttp.ts";

/** A server that reads what comes with llhttp, answers every request with 200, and remembers. */
export interface RecordingApp {
  readonly port: number;
  /** `GET /target body` of all complete requests since the last call. */
  taken(): string[];
  close(): Promise<void>;
}

/** `GET /target body`; absolute-form is taken apart, as every hop may. */
function named(method: string, target: string, body: string): string {
  const rest = /^http:\/\/[^/?]*(.*)$/i.exec(target)?.[1];
  if (rest === undefined) return `${method} ${target} ${body}`;
  const path = rest === "" ? (method === "OPTIONS" ? "*" : "/") : rest.startsWith("?") ? `/${rest}` : rest;
  return `${method} ${path} ${body}`;
}

export async function startRecordingApp(): Promise<RecordingApp> {
  let seen: string[] = [];
  const server = createServer((socket) => {
    const reader = new Llhttp("request");
    reader.onMessage = ({ method, target, body, minor }) => {
      seen.push(named(method, target, body));
      if (socket.destroyed) return;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      if (minor === 0) socket.end();
    };
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      reader.execute(bytes);
      if (reader.error !== undefined) socket.end("HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
  });
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    taken() {
      const all = seen;
      seen = [];
      return all;
    },
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}
