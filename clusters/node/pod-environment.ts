import { CLUSTER_DOMAIN, PORTS, SETTINGS } from "../../core/defaults.ts";
import type { Pod, PodContainer } from "../../kube/resources.ts";

/** What of this machine's environment a pod may see; nothing else leaks in. */
const INHERITED = ["PATH", "LANG", "LC_ALL", "TZ", "TERM"];

export interface PodPlace {
  readonly cluster: string;
  readonly node: string;
  readonly podIp: string;
  readonly meshed: boolean;
}

function field(pod: Pod, place: PodPlace, path: string): string | undefined {
  const annotation = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (annotation !== null) return pod.metadata[annotation[1] as "labels" | "annotations"]?.[annotation[2] ?? ""];
  switch (path) {
    case "metadata.name":
      return pod.metadata.name;
    case "metadata.namespace":
      return pod.metadata.namespace;
    case "metadata.uid":
      return pod.metadata.uid;
    case "spec.nodeName":
      return place.node;
    case "spec.serviceAccountName":
      return pod.spec?.serviceAccountName ?? "default";
    case "status.podIP":
      return place.podIp;
    default:
      return undefined;
  }
}

/** The unix socket that the pod's annotation names for `port`; pods share this machine's file system. */
function appSocketOf(pod: Pod, port: number | undefined): string | undefined {
  const parts = pod.metadata.annotations?.[SETTINGS.appSocket]?.split(",").map((part) => part.trim());
  const part = parts?.find((each) => each.startsWith(`${port}=/`));
  return part?.slice(part.indexOf("=") + 1).replaceAll("$(POD_NAME)", pod.metadata.name);
}

/**
 * The environment of one container: where to listen (HOST, PORT, APP_SOCKET), who it is, the proxy of its sidecar, then what
 * the Pod asks for. Without network namespaces a proxy setting is what sends an app's calls through the sidecar.
 */
export function containerEnvironment(
  pod: Pod,
  container: PodContainer,
  place: PodPlace,
  home: NodeJS.ProcessEnv,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of INHERITED) if (home[name] !== undefined) env[name] = home[name] ?? "";
  const port = container.ports?.[0]?.containerPort;
  Object.assign(env, {
    HOST: place.podIp,
    ...(port === undefined ? {} : { PORT: String(port) }),
    CLUSTER: place.cluster,
    HOSTNAME: pod.metadata.name,
    POD_NAME: pod.metadata.name,
    POD_NAMESPACE: pod.metadata.namespace ?? "default",
    POD_IP: place.podIp,
  });
  const socket = appSocketOf(pod, port);
  if (place.meshed && socket !== undefined) env["APP_SOCKET"] = socket;
  if (place.meshed) {
    const proxy = `http://${place.podIp}:${PORTS.outbound}`;
    for (const name of ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"]) env[name] = proxy;
    for (const name of ["NO_PROXY", "no_proxy"])
      env[name] = `localhost,${place.podIp},kubernetes.default.svc.${CLUSTER_DOMAIN}`;
  }
  for (const variable of container.env ?? []) {
    const from = variable.valueFrom as { fieldRef?: { fieldPath?: string } } | undefined;
    const value = from?.fieldRef?.fieldPath === undefined ? variable.value : field(pod, place, from.fieldRef.fieldPath);
    env[variable.name] = (value ?? "").replace(
      /\$\(([A-Za-z_][A-Za-z0-9_]*)\)/g,
      (whole, name: string) => env[name] ?? whole,
    );
  }
  return env;
}
