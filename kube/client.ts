/** A kind of resource as the API addresses it. */
export interface ResourceType {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface InformerOptions extends ListOptions {
  /** The kind may be missing from the cluster, come later and go again: while it is missing there are no objects. */
  readonly optional?: boolean;
}

export interface TokenReviewResult {
  readonly authenticated: boolean;
  /** `system:serviceaccount:<namespace>:<name>` */
  readonly username: string;
  readonly audiences: readonly string[];
  readonly error: string;
}

export interface ExecResult {
  readonly exitCode: number;
}

export interface ExecStreams {
  readonly stdin?: NodeJS.ReadableStream;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/**
 * The Kubernetes API as the mesh uses it. Errors are MeshError: CLUSTER_UNREACHABLE (network), KUBE_DENIED
 * (401, 403), KUBE_CONFLICT (409), KUBE_INVALID (400, 422), KUBE_NOT_FOUND (404), KUBE_FAILED (other); the
 * message carries the server's own.
 */
export interface KubeClient {
  /** Address of the API server, for messages. */
  readonly server: string;

  /** Undefined where the object does not exist. @throws KUBE_NOT_FOUND where its kind does not */
  get<T extends KubeObject>(type: ResourceType, name: string, namespace?: string): Promise<T | undefined>;
  /** All pages. */
  list<T extends KubeObject>(type: ResourceType, options?: ListOptions): Promise<T[]>;
  create<T extends KubeObject>(type: ResourceType, object: T): Promise<T>;
  /** PUT; with `metadata.resourceVersion` set it is refused (KUBE_CONFLICT) when the object changed. */
  replace<T extends KubeObject>(type: ResourceType, object: T): Promise<T>;
  replaceStatus<T extends KubeObject>(type: ResourceType, object: T): Promise<T>;
  /** JSON merge patch (RFC 7386). */
  mergePatch<T extends KubeObject>(
    type: ResourceType,
    name: string,
    namespace: string | undefined,
    patch: object,
  ): Promise<T>;
  mergePatchStatus<T extends KubeObject>(
    type: ResourceType,
    name: string,
    namespace: string | undefined,
    patch: object,
  ): Promise<T>;
  /** False where it did not exist. `uid` guards against deleting a successor of the same name. */
  delete(
    type: ResourceType,
    name: string,
    namespace?: string,
    options?: { uid?: string; gracePeriodSeconds?: number },
  ): Promise<boolean>;

  /** A cache of a list, kept up to date; see Informer. */
  informer<T extends KubeObject>(type: ResourceType, options?: InformerOptions): Informer<T>;

  reviewToken(token: string, audiences: readonly string[]): Promise<TokenReviewResult>;
  /** A token of a ServiceAccount (TokenRequest API) and when it expires, in ms since 1970. */
  requestToken(
    namespace: string,
    serviceAccount: string,
    audiences: readonly string[],
    ttlSeconds: number,
  ): Promise<{ token: string; expiresAtMs: number }>;
  /** `gitVersion` of the server. */
  version(): Promise<string>;
  /** Runs a command in a container and waits for its end. @throws EXEC_FAILED when it could not be started */
  exec(
    namespace: string,
    pod: string,
    container: string | undefined,
    command: readonly string[],
    streams: ExecStreams,
    signal: AbortSignal,
  ): Promise<ExecResult>;
}

export type InformerEvent<T> =
  | { readonly type: "set"; readonly object: T }
  | { readonly type: "delete"; readonly object: T };

/**
 * List and watch, for ever: retries with jitter, resumes from the last resourceVersion, asks for bookmarks,
 * lists again on 410 (HTTP or in-stream), detects a silent connection. While the server is away the cache
 * keeps the last good state. A listener that throws is logged and harms no other.
 */
export interface Informer<T extends KubeObject> {
  /** Starts; resolves once the first list is in the cache. Rejects only when `signal` aborts. */
  start(signal: AbortSignal): Promise<void>;
  get(name: string, namespace?: string): T | undefined;
  list(): readonly T[];
  /** Called for each change, after the cache has it, and for what is in the cache at the time of the call. */
  onEvent(listener: (event: InformerEvent<T>) => void): () => void;
  readonly synced: boolean;
}
