import { MeshError } from "../core/errors.ts";
import { isServiceName } from "../core/mirror-name.ts";

/** `<namespace>/<name>`, or a bare name in `defaultNamespace`. @throws MeshError USAGE */
export function parseServiceReference(text: string, defaultNamespace: string): { namespace: string; name: string } {
  const parts = text.split("/");
  const [namespace, name] = parts.length === 1 ? [defaultNamespace, parts[0] ?? ""] : [parts[0] ?? "", parts[1] ?? ""];
  if (parts.length > 2 || !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace) || !isServiceName(name)) {
    throw new MeshError(
      "USAGE",
      `Cannot read "${text.slice(0, 80)}" as a service: want <namespace>/<service>, for example shop/web.`,
    );
  }
  return { namespace, name };
}
