import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from "node:http2";
import { asMeshError, errorText, MeshError } from "../core/errors.ts";
import type { Method } from "../protos/codec.ts";
import { CODE_KEY, callError, GRPC_STATUS } from "./grpc-failure.ts";
import { FrameReader, frameOf, MAX_MESSAGE_BYTES } from "./grpc-frames.ts";

/** Who is told of a call. */
export interface CallListener<Response> {
  /** What it throws ends the call. */
  onMessage(message: Response): void;
  /** Once, last. Undefined: the server has ended it with status OK. */
  onEnd(error: MeshError | undefined): void;
}

/** Bytes that may wait for a server that reads nothing. */
const MAX_UNSENT_BYTES = 2 * MAX_MESSAGE_BYTES;

/** Of an HTTP status where there is no gRPC status (http-grpc-status-mapping.md): whether it is worth another try. */
function statusOfHttp(status: number): number {
  return [429, 502, 503, 504].includes(status) ? GRPC_STATUS.UNAVAILABLE : GRPC_STATUS.UNKNOWN;
}

/** Of a reset stream, as PROTOCOL-HTTP2.md has it. */
function statusOfReset(code: number): number {
  switch (code) {
    case constants.NGHTTP2_ENHANCE_YOUR_CALM:
      return GRPC_STATUS.RESOURCE_EXHAUSTED;
    case constants.NGHTTP2_PROTOCOL_ERROR:
    case constants.NGHTTP2_FLOW_CONTROL_ERROR:
    case constants.NGHTTP2_FRAME_SIZE_ERROR:
    case constants.NGHTTP2_COMPRESSION_ERROR:
      return GRPC_STATUS.INTERNAL;
    // The rest is a server or a connection that goes away; a caller's own cancellation is told without this.
    default:
      return GRPC_STATUS.UNAVAILABLE;
  }
}

/** grpc-message is percent-encoded; what is not is taken as it is. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** One call of a GrpcClient; what is sent before there is a connection waits. */
export class GrpcCall<Request extends object, Response> {
  readonly #method: Method<Request, Response>;
  readonly #doing: string;
  readonly #listener: CallListener<Response>;
  readonly #deadlineMs: number | undefined;
  readonly #frames = new FrameReader();
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** The caller has nothing more to send. */
  #sent = false;
  #over = false;
  #stream: ClientHttp2Stream | undefined;
  #headers: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
  #trailers: IncomingHttpHeaders | undefined;
  #broken: unknown;

  constructor(
    method: Method<Request, Response>,
    doing: string,
    listener: CallListener<Response>,
    deadlineMs: number | undefined,
  ) {
    this.#method = method;
    this.#doing = doing;
    this.#listener = listener;
    this.#deadlineMs = deadlineMs;
  }

  /** Nothing where the call is over; a server that does not read ends it at 8 MiB. */
  send(request: Request): void {
    if (this.#over || this.#sent) return;
    try {
      const frame = frameOf(this.#method.encode(request));
      const unsent = this.#waitingBytes + (this.#stream?.writableLength ?? 0) + frame.length;
      if (unsent > MAX_UNSENT_BYTES)
        throw new MeshError("LIMIT_EXCEEDED", `Cannot ${this.#doing}: the server does not read what is sent.`);
      if (this.#stream === undefined) {
        this.#waiting.push(frame);
        this.#waitingBytes += frame.length;
      } else this.#stream.write(frame);
    } catch (error) {
      this.fail(asMeshError(error, "PROTOCOL_VIOLATION", this.#doing));
    }
  }

  /** Nothing more is sent. */
  end(): void {
    this.#sent = true;
    this.#stream?.end();
  }

  cancel(): void {
    this.fail(new MeshError("ABORTED", `Cannot ${this.#doing}: cancelled.`));
  }

  /** Ends the call, unless it has ended. */
  fail(error: MeshError): void {
    this.#finish(error);
  }

  /** Of GrpcClient. */
  start(session: ClientHttp2Session, authority: string): void {
    if (this.#over) return;
    try {
      this.#begin(session, authority);
    } catch (error) {
      // It has gone away in the meantime.
      this.fail(asMeshError(error, "STREAM_CLOSED", this.#doing));
    }
  }

  #begin(session: ClientHttp2Session, authority: string): void {
    const headers: OutgoingHttpHeaders = {
      ":method": "POST",
      ":scheme": "https",
      ":authority": authority,
      ":path": this.#method.path,
      te: "trailers",
      "content-type": "application/grpc",
      "user-agent": "causeway",
      ...(this.#deadlineMs === undefined ? {} : { "grpc-timeout": `${Math.ceil(this.#deadlineMs)}m` }),
    };
    const stream = session.request(headers, { endStream: false });
    this.#stream = stream;
    stream.on("response", (response) => {
      this.#headers = response;
    });
    stream.on("trailers", (trailers) => {
      this.#trailers = trailers;
    });
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("error", (error) => {
      this.#broken = error;
    });
    // The server has ended its side, and may do so while ours is open.
    stream.on("end", () => stream.close());
    stream.on("close", () => this.#finish(this.#outcome()));
    for (const frame of this.#waiting) stream.write(frame);
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (this.#sent) stream.end();
  }

  #read(chunk: Buffer): void {
    if (this.#over) return;
    const { ":status": status = 200, "content-type": type = "" } = this.#headers;
    if (status !== 200 || !type.startsWith("application/grpc")) return;
    try {
      for (const message of this.#frames.read(chunk)) {
        if (!this.#over) this.#listener.onMessage(this.#method.decode(message));
      }
    } catch (error) {
      this.fail(asMeshError(error, "PROTOCOL_VIOLATION", this.#doing));
    }
  }

  /** How the server has ended it. */
  #outcome(): MeshError | undefined {
    const from: IncomingHttpHeaders = this.#trailers ?? this.#headers;
    const status = from["grpc-status"];
    if (typeof status === "string" && /^\d{1,3}$/.test(status)) {
      if (Number(status) === GRPC_STATUS.OK && this.#frames.pending === 0) return undefined;
      const details = unescaped(String(from["grpc-message"] ?? `status ${status}`));
      return this.#failure(Number(status), details, from[CODE_KEY]);
    }
    const { ":status": http } = this.#headers;
    if (http !== undefined && http !== 200) return this.#failure(statusOfHttp(http), `HTTP status ${http}`);
    const reset = this.#stream?.rstCode ?? constants.NGHTTP2_NO_ERROR;
    const why = this.#broken === undefined ? "the stream ended without a status" : errorText(this.#broken);
    return this.#failure(statusOfReset(reset), why);
  }

  #failure(status: number, details: string, given?: unknown): MeshError {
    return callError({ status, details, given, cause: this.#broken }, this.#doing);
  }

  #finish(error: MeshError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#waiting = [];
    const stream = this.#stream;
    if (stream !== undefined && !stream.closed) stream.close(constants.NGHTTP2_CANCEL);
    this.#listener.onEnd(error);
  }
}
