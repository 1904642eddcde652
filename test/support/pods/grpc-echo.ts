// A gRPC server for pods of tests: echoes, counts, fails as asked, and tells who the sidecar says is calling.
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { loadEcho, type Words } from "./echo.ts";

const { HOST = "127.0.0.1", PORT = "9000" } = process.env;
const server = new Server();
server.addService(loadEcho().Echo.service, {
  Say(call: ServerUnaryCall<Words, Words>, callback: sendUnaryData<Words>) {
    const { text } = call.request;
    const failing = /^fail (\d+)$/.exec(text);
    if (failing !== null) {
      callback({ code: Number(failing[1]), details: "as asked" });
      return;
    }
    const trailers = new Metadata();
    trailers.set("x-caller", String(call.metadata.get("x-causeway-client-id")[0] ?? ""));
    if (text !== "never") callback(null, { text, times: 1 }, trailers);
  },
  Count(call: ServerWritableStream<Words, Words>) {
    for (let i = 1; i <= call.request.times; i++) call.write({ text: call.request.text, times: i });
    call.end();
  },
  Sum(call: ServerReadableStream<Words, Words>, callback: sendUnaryData<Words>) {
    let times = 0;
    call.on("data", (words: Words) => {
      times += words.times;
    });
    call.on("end", () => callback(null, { text: "sum", times }));
  },
  Chat(call: ServerDuplexStream<Words, Words>) {
    call.on("data", (words: Words) => void call.write(words));
    call.on("end", () => call.end());
  },
});
server.bindAsync(`${HOST}:${PORT}`, ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`echo serves gRPC on ${HOST}:${port}`);
});
process.once("SIGTERM", () => server.forceShutdown());
