import { type Clock, EventClock, systemClock } from "../core/clock.ts";
import { errorText, MeshError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { ByteStream } from "./byte-stream.ts";
import { loadHandleBinding } from "./handle-binding.ts";
import { HandleTransport } from "./handle-transport.ts";
import { type AdapterOptions, NetTransport } from "./net-transport.ts";
import { TimerWheel } from "./timer-wheel.ts";
import type { Transport } from "./transport.ts";

export interface TransportOptions {
  /** `auto` takes `handle` where its self-test passes on this Node, else `net` with a logged reason. */
  readonly adapter: "handle" | "net" | "auto";
  readonly log: Log;
  /** An EventClock stands still during each read, of handles. */
  readonly clock?: Clock;
  /** Bytes that may wait to be written on one stream; 4 MiB by default. */
  readonly maxPendingBytes?: number;
  /** Of handles: a small write that comes alone does not wait for the end of the turn; false by default. */
  readonly loneWritesAtOnce?: boolean;
}

const MAX_PENDING_BYTES = 4 * 1024 * 1024;
const SELF_TEST_MS = 2_000;

/** @throws MeshError INTERNAL when `handle` is forced and this Node cannot do it */
export async function createTransport(options: TransportOptions): Promise<Transport> {
  const { adapter, log } = options;
  const clock = options.clock ?? systemClock;
  const shared: AdapterOptions = {
    wheel: new TimerWheel(clock, log),
    log,
    maxPendingBytes: options.maxPendingBytes ?? MAX_PENDING_BYTES,
    loneWritesAtOnce: options.loneWritesAtOnce ?? false,
  };
  if (adapter === "net") return new NetTransport(shared);
  try {
    const transport = new HandleTransport(
      loadHandleBinding(),
      shared,
      clock instanceof EventClock ? clock : new EventClock(),
    );
    if (adapter === "auto") await selfTest(transport);
    return transport;
  } catch (error) {
    if (adapter === "handle") {
      throw new MeshError(
        "INTERNAL",
        `Cannot use stream handles on Node ${process.version}: ${errorText(error)}. Use the net adapter.`,
        { cause: error },
      );
    }
    log.warn("transport_fallback", { adapter: "net", reason: errorText(error), node: process.version });
    return new NetTransport(shared);
  }
}

/** An echo over loopback, half-closed by either side: what the data plane relies on. @throws Error */
async function selfTest(transport: Transport): Promise<void> {
  const sent = Buffer.from("causeway self-test");
  const listener = await transport.listenTcp({ host: "127.0.0.1", port: 0 }, (stream) => echo(stream));
  try {
    const got = await new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("the loopback echo did not come back")), SELF_TEST_MS);
      const done = (settle: () => void) => {
        clearTimeout(timer);
        settle();
      };
      const chunks: Buffer[] = [];
      transport.connectTcp(
        { host: "127.0.0.1", port: listener.port, timeoutMs: SELF_TEST_MS },
        (stream) => {
          stream.write(sent, 0, sent.length);
          stream.end();
          return {
            onRead: (buffer, length) => chunks.push(Buffer.from(buffer.subarray(0, length))),
            onEnd() {},
            onDrain() {},
            onClose: (error) => done(() => (error === undefined ? resolve(Buffer.concat(chunks)) : reject(error))),
          };
        },
        (error) => done(() => reject(error)),
      );
    });
    if (!got.equals(sent)) throw new Error("the loopback echo came back changed");
  } finally {
    await listener.close();
  }
}

function echo(stream: ByteStream) {
  return {
    onRead: (buffer: Buffer, length: number) => void stream.write(buffer, 0, length),
    onEnd: () => stream.end(),
    onDrain() {},
    onClose() {},
  };
}
