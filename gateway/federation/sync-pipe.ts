import type { MeshError } from "../../core/errors.ts";
import type { SyncMessage } from "../../protos/gen/causeway/federation/v1/SyncMessage.ts";
import type { Incoming } from "./sync-codec.ts";

/** Who uses a pipe. Nothing is called after `onClose`, which is called exactly once. */
export interface SyncPipeUser {
  onMessage(incoming: Incoming): void;
  /** Gone; `error` is undefined after an orderly end by either side. */
  onClose(error: MeshError | undefined): void;
}

/** One Sync stream, from either end. Messages that come before there is a user wait for it. */
export interface SyncPipe {
  use(user: SyncPipeUser): void;
  send(message: SyncMessage): void;
  /** Messages sent that have not left: the other side does not read them. */
  readonly backlog: number;
  /** Closes once what was sent is on its way. */
  end(): void;
  destroy(): void;
}
