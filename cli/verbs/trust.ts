import type { Command } from "commander";
import { sleep, systemClock } from "../../core/clock.ts";
import { SYSTEM_NAMESPACE, TRUST_CONFIG_MAP } from "../../core/defaults.ts";
import { hasCode, MeshError } from "../../core/errors.ts";
import type { KubeClient } from "../../kube/client.ts";
import {
  apiVersionOf,
  CONFIG_MAPS,
  type ConfigMap,
  LINKS,
  type Link,
  TRUST_ROTATIONS,
  type TrustRotation,
} from "../../kube/resources.ts";
import { accessMesh } from "../cluster-access.ts";
import { show, table } from "../output.ts";
import { type CommonOptions, durationMs, type VerbContext, withCommonOptions } from "../program.ts";
import { isBeforeActive, openRotation, type TrustObjects, type TrustView, trustView } from "../trust-view.ts";

interface RotateOptions extends CommonOptions {
  readonly issuer?: boolean;
  readonly fromSecret?: string;
  readonly force?: boolean;
  readonly wait: number;
}

interface RetireOptions extends CommonOptions {
  readonly force?: boolean;
}

const POLL_MS = 250;

/** `mesh trust status|rotate|retire`. */
export function registerTrust(program: Command, context: VerbContext): void {
  const trust = program.command("trust").description("the cluster's CA: what is believed, by whom, and its rotation");
  withCommonOptions(
    trust.command("status").description("roots, which peers have acknowledged them, and what is being waited for"),
  ).action(async (options: CommonOptions) => {
    const { kube } = await accessMesh(options, context.env);
    const view = trustView(await trustObjects(kube));
    show(options.output, view, () => tableOf(view), context.stdout);
  });
  withCommonOptions(
    trust
      .command("rotate")
      .description("replace the root: publish the new one, wait until every peer has it, then sign under it")
      .option("--issuer", "only the issuer, under the same root, at once")
      .option("--from-secret <name>", "Secret in causeway-ca with your own root and issuer (default: they are made)")
      .option("--force", "sign under the new root now, also where peers have not acknowledged it; names who will break")
      .option("--wait <duration>", "for it to be active; 0s does not wait", durationMs, 120_000),
  ).action(async (options: RotateOptions) => {
    await rotate(options, context);
  });
  withCommonOptions(
    trust
      .command("retire")
      .description("take back the old root of a rotation; by itself it goes when nothing under it is valid any more")
      .option("--force", "even while certificates under it are in use: they will be refused"),
  ).action(async (options: RetireOptions) => {
    await retire(options, context);
  });
}

async function trustObjects(kube: KubeClient): Promise<TrustObjects> {
  const [published, links, rotations] = await Promise.all([
    kube.get<ConfigMap>(CONFIG_MAPS, TRUST_CONFIG_MAP, SYSTEM_NAMESPACE),
    kube.list<Link>(LINKS),
    listRotations(kube),
  ]);
  if (published === undefined)
    throw new MeshError("NOT_INSTALLED", "Cannot see the CA: control has not published it. Is mesh serve running?");
  return { published, links, rotations };
}

async function listRotations(kube: KubeClient): Promise<TrustRotation[]> {
  try {
    return await kube.list<TrustRotation>(TRUST_ROTATIONS);
  } catch (error) {
    if (!hasCode(error, "KUBE_NOT_FOUND")) throw error;
    const state = "the cluster lacks TrustRotations";
    throw new MeshError("NOT_INSTALLED", `Cannot rotate: ${state}. Run mesh install again.`, { cause: error });
  }
}

async function rotate(options: RotateOptions, { env, stdout }: VerbContext): Promise<void> {
  if (options.issuer === true && options.fromSecret !== undefined)
    throw new MeshError("USAGE", "Cannot combine --issuer with --from-secret: replace Secret causeway-ca instead.");
  const { kube, cluster } = await accessMesh(options, env);
  const objects = await trustObjects(kube);
  const open = openRotation(objects.rotations);
  const breaks = options.force === true ? trustView(objects).peers.map((peer) => peer.cluster) : [];
  let name: string;
  if (open === undefined) name = await begin(kube, options);
  else if (options.force === true && isBeforeActive(open.status?.phase)) {
    name = open.metadata.name;
    await kube.mergePatch(TRUST_ROTATIONS, name, undefined, { spec: { activation: "Now" } });
  } else {
    throw new MeshError(
      "ROTATION_UNDER_WAY",
      `Cannot rotate ${cluster}: rotation ${open.metadata.name} is ${open.status?.phase ?? "Pending"}${told(open)}. See mesh trust status; mesh trust retire ends an active one, kubectl delete trustrotation takes back one that is not.`,
    );
  }
  const unaware = open?.status?.waitingFor ?? breaks;
  const note =
    options.force === true && unaware.length > 0
      ? [`note: ${unaware.join(", ")} will refuse ${cluster}'s new certificates until they have taken the new root`]
      : [];
  const rotation = await untilActive(kube, name, options.wait);
  const result = { rotation: name, phase: rotation.status?.phase ?? "Pending", ...rotation.status, note };
  const lines = [`rotation ${name} of ${cluster}: ${result.phase}${told(rotation)}`, ...note];
  show(options.output, result, () => lines.join("\n"), stdout);
  if (rotation.status?.phase === "Failed")
    throw new MeshError("CA_UNAVAILABLE", rotation.status.message ?? "Cannot rotate: control could not do it.");
}

async function begin(kube: KubeClient, { issuer, fromSecret, force }: RotateOptions): Promise<string> {
  const stamp = new Date(systemClock.wallMs())
    .toISOString()
    .replace(/[-:]|\.\d+/g, "")
    .toLowerCase();
  const name = `${issuer === true ? "issuer" : "root"}-${stamp}`;
  await kube.create<TrustRotation>(TRUST_ROTATIONS, {
    apiVersion: apiVersionOf(TRUST_ROTATIONS),
    kind: TRUST_ROTATIONS.kind,
    metadata: { name },
    spec: {
      authority: issuer === true ? "Issuer" : "Root",
      ...(fromSecret === undefined ? {} : { secretName: fromSecret }),
      activation: force === true ? "Now" : "WhenAcknowledged",
    },
  });
  return name;
}

/** The rotation once it is active, or over, or as it is after `waitMs`. */
async function untilActive(kube: KubeClient, name: string, waitMs: number): Promise<TrustRotation> {
  const untilMs = systemClock.nowMs() + waitMs;
  for (;;) {
    const rotation = await kube.get<TrustRotation>(TRUST_ROTATIONS, name);
    if (rotation === undefined)
      throw new MeshError("KUBE_NOT_FOUND", `Cannot rotate: TrustRotation ${name} was deleted meanwhile.`);
    if (!isBeforeActive(rotation.status?.phase) || systemClock.nowMs() >= untilMs) return rotation;
    await sleep(systemClock, POLL_MS, new AbortController().signal);
  }
}

function told({ status }: TrustRotation): string {
  const waiting = status?.waitingFor ?? [];
  if (isBeforeActive(status?.phase) && waiting.length > 0) return `, waiting for ${waiting.join(", ")}`;
  return status?.phase === "Active" && status.retiresAt !== undefined
    ? `, the old root goes at ${status.retiresAt}`
    : "";
}

async function retire(options: RetireOptions, { env, stdout }: VerbContext): Promise<void> {
  const { kube, cluster } = await accessMesh(options, env);
  const { rotations } = await trustObjects(kube);
  const open = openRotation(rotations);
  if (open?.status?.phase !== "Active") {
    const state = open === undefined ? "no rotation is under way" : `rotation ${open.metadata.name} is not active yet`;
    throw new MeshError("USAGE", `Cannot retire: ${state}. See mesh trust status.`);
  }
  const { name } = open.metadata;
  const atMs = Date.parse(open.status.retiresAt ?? "");
  if (options.force !== true && systemClock.wallMs() < atMs) {
    throw new MeshError(
      "ROTATION_UNDER_WAY",
      `Cannot retire the old root of ${cluster}: certificates under it are valid until ${open.status.retiresAt}, and it goes by itself then. --force refuses them now.`,
    );
  }
  await kube.mergePatch(TRUST_ROTATIONS, name, undefined, { spec: { retirement: "Now" } });
  show(
    options.output,
    { rotation: name, retirement: "Now" },
    () => `the old root of ${cluster} is being taken back`,
    stdout,
  );
}

function tableOf(view: TrustView): string {
  const roots = view.roots.map(({ fingerprint, state, notAfter }) => [fingerprint, state, notAfter]);
  const peers = view.peers.map(({ cluster, acknowledged, current }) => [
    cluster,
    acknowledged ?? "-",
    current ? "has it" : `waiting for ${view.sequence}`,
  ]);
  const rotations = view.rotations.map(({ name, phase, waitingFor, retiresAt, message }) => {
    const waiting = waitingFor.length > 0 ? `waiting for ${waitingFor.join(", ")}` : message;
    return [name, phase, phase === "Active" && retiresAt !== null ? `the old root goes at ${retiresAt}` : waiting];
  });
  return [
    `trust domain ${view.trustDomain}, bundle sequence ${view.sequence}`,
    table(["ROOT", "STATE", "VALID UNTIL"], roots),
    ...(peers.length === 0
      ? ["no links: nobody has to acknowledge anything"]
      : [table(["PEER", "ACKNOWLEDGED", "STATE"], peers)]),
    ...(rotations.length === 0 ? [] : [table(["ROTATION", "PHASE", "NEXT"], rotations)]),
  ].join("\n\n");
}
