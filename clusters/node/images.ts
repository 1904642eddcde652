import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PodContainer } from "../../kube/resources.ts";

const SAMPLES: Readonly<Record<string, string>> = {
  "causeway.dev/sample-web": "web",
  "causeway.dev/sample-client": "client",
};

/** Folder of this package, from source as from dist/. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/**
 * What to run for a container. There is no container runtime here: a container with a `command` runs that command
 * on this machine, and the sample images run the sample apps. Undefined for any other image.
 */
export function commandOf(container: PodContainer): readonly [string, ...string[]] | undefined {
  const [file, ...rest] = container.command ?? [];
  if (file !== undefined) return [file, ...rest, ...(container.args ?? [])];
  const sample = SAMPLES[container.image.replace(/:[^/:]*$/, "")];
  if (sample === undefined) return undefined;
  return [process.execPath, join(packageRoot(), "dist", "clusters", "apps", `${sample}.js`), ...(container.args ?? [])];
}
