import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { Detections } from "../detect/detections.ts";
import type { Engine } from "../http1/engine.ts";
import type { FloodLimits } from "../http2/flood-guard.ts";
import type { Interception } from "../interception.ts";
import type { RoutePlan } from "../route/route-table.ts";
import type { DialDeps } from "./dial.ts";
import type { Entry, ServiceTable } from "./service-table.ts";
import { TryState } from "./try-state.ts";

const NO_HOST = Buffer.alloc(0);

/** What the handler keeps per client connection. */
export class OutboundState extends TryState {
  /** The authority of the last request as it stood there, and what it led to: apps ask for the same again and again. */
  host: Buffer = NO_HOST;
  entry: Entry | undefined = undefined;
  /** Where all requests of the connection go, whatever they name: `<host>:<port>`. */
  readonly fixed: string | undefined;
  /** What becomes of the request by a rule. */
  plan: RoutePlan | undefined = undefined;
  /** It has been copied to where the rule says, or will not be. */
  mirrored = true;
  /** Of the mesh's own fields at the end of its head. */
  addedBytes = 0;

  constructor(row: number, fixed?: string) {
    super(row);
    this.fixed = fixed;
  }
}

export interface OutboundDeps extends DialDeps {
  readonly engine: Engine;
  readonly services: ServiceTable;
  /** Of a connection of HTTP/2. */
  readonly floods: FloodLimits;
  /** Row of requests that name no service. */
  readonly unknownRow: number;
  readonly detections: Detections;
  /** How long a client may be silent on a connection whose protocol is to be detected. */
  readonly detectMs: number;
  /** Where the app's connections are redirected here. */
  readonly interception?: Interception;
  /** Absent: HTTP/2 is refused on the explicit port, and passed through unread elsewhere. */
  readonly serveHttp2?: ServeHttp2;
}

/** Serves a client that began with HTTP/2's preface. `fixed`: its requests go to that authority, whatever they name. */
export type ServeHttp2 = (stream: ByteStream, fixed: string | undefined) => ByteStreamUser;
