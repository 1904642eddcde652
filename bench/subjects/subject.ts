import type { Cores } from "../measure/cores.ts";

/** Something that a suite measures, running. */
export interface Subject {
  readonly name: string;
  /** Where the load goes. */
  readonly port: number;
  /** Whose cost counts, each with its children; none where there is no proxy at all. */
  readonly pids: readonly number[];
  /** Where full handshakes with a client certificate are taken, in the suites that have such. */
  readonly handshakes?: HandshakeTarget;
  stop(): Promise<void>;
}

export interface HandshakeTarget {
  /** "host:port" */
  readonly address: string;
  readonly client: CertificateFiles;
}

/** PEM files of one side; `both` holds chain and key, as HAProxy wants them. */
export interface CertificateFiles {
  readonly chain: string;
  readonly key: string;
  readonly both: string;
}

export interface Certificates {
  readonly root: string;
  readonly client: CertificateFiles;
  readonly server: CertificateFiles;
}

/** What all subjects of a run are set up from. */
export interface Setting {
  /** For configuration; removed after the run. */
  readonly folder: string;
  readonly cores: Cores;
  readonly appPort: number;
  /** Where our processes leave CPU profiles. */
  readonly profile: string | undefined;
  /** Of the peers: P-256, leaf and intermediate, as the mesh's own. @throws Missing where openssl is */
  readonly certificates: () => Certificates;
}

/** Starts a subject. @throws Missing where it cannot be had here, Error where it fails */
export type StartSubject = (setting: Setting) => Promise<Subject>;

/** Of every pair of proxies. */
export const CIPHER = "TLS_AES_128_GCM_SHA256";
/** What the app is called. */
export const AUTHORITY = "web.shop.svc.cluster.local";

/** What a relay knows it as. */
export const SERVER_NAME = "web.east.mesh";
/** What relays may hold of a bulk flow, each way. */
export const BULK_BUFFER_BYTES = 262_144;

/** The load straight at the app: whether the generator could be the bottleneck. */
export async function startDirect({ appPort }: Setting): Promise<Subject> {
  return { name: "direct", port: appPort, pids: [], stop: async () => {} };
}
