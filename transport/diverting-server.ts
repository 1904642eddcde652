import { createServer, type Server, type Socket } from "node:net";
import type { Server as TlsServer } from "node:tls";
import type { ByteStream, ByteStreamUser } from "./byte-stream.ts";
import { descriptorOf } from "./net-stream.ts";
import type { AcceptedSocket } from "./original-destination.ts";
import { type TimerWheel, WheelTimer } from "./timer-wheel.ts";
import type { Diversion, ListenTcpOptions } from "./transport.ts";

/** Makes a stream of a socket that no TLS is spoken on. */
export type AdoptPlain = (socket: Socket, onStream: (stream: ByteStream) => ByteStreamUser) => void;

/** The longest beginning that is looked at; `judge` must have told by then. */
const MAX_FIRST_BYTES = 16_384;

/** Accepts in place of `tls`, which is given what is for it, unread. */
export function divertingServer(
  tls: TlsServer,
  diversion: Diversion,
  options: ListenTcpOptions,
  wheel: TimerWheel,
  adoptPlain: AdoptPlain,
): Server {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
  if (options.maxConnections !== undefined) server.maxConnections = options.maxConnections;
  server.on("connection", (socket) => {
    const accepted: AcceptedSocket = {
      descriptor: descriptorOf(socket),
      localAddress: socket.localAddress ?? "",
      localPort: socket.localPort ?? 0,
    };
    if (diversion.concerns(accepted)) look(socket, accepted, tls, diversion, wheel, adoptPlain);
    else tls.emit("connection", socket);
  });
  return server;
}

/** Reads until it is told whom a connection is for. */
function look(
  socket: Socket,
  accepted: AcceptedSocket,
  tls: TlsServer,
  diversion: Diversion,
  wheel: TimerWheel,
  adoptPlain: AdoptPlain,
): void {
  let first: Buffer = Buffer.alloc(0);
  let told = false;
  const judge = (over: boolean, ended: boolean) => {
    const verdict = diversion.judge(accepted, first, over || first.length >= MAX_FIRST_BYTES);
    if (verdict === undefined) return;
    told = true;
    socket.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onError);
    wheel.drop(timer);
    socket.pause();
    if (verdict === "other") {
      adoptPlain(socket, (stream) => diversion.onStream(stream, first, ended));
      return;
    }
    if (ended) {
      socket.destroy();
      return;
    }
    // Node's TLS reads what a socket holds before it reads from its handle.
    if (first.length > 0) socket.unshift(first);
    tls.emit("connection", socket);
  };
  const timer = new WheelTimer(() => judge(true, false));
  const onData = (data: Buffer) => {
    first = first.length === 0 ? data : Buffer.concat([first, data]);
    judge(false, false);
  };
  const onEnd = () => judge(true, true);
  const onClose = () => wheel.drop(timer);
  const onError = () => socket.destroy();
  socket.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onError);
  wheel.arm(timer, diversion.timeoutMs);
  judge(false, false);
  if (!told) socket.resume();
}
