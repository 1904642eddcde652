import { join } from "node:path";
import { packageRoot } from "../clusters/node/images.ts";

/** How processes of ours start `mesh` again: this Node, this package. */
export function meshCommand(): readonly [string, ...string[]] {
  return [process.execPath, join(packageRoot(), "bin", "mesh")];
}
