import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { stringify } from "yaml";
import { systemClock } from "../../core/clock.ts";
import { SYSTEM_NAMESPACE } from "../../core/defaults.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import { parseClusterName } from "../../core/mirror-name.ts";
import { advertisedGateways } from "../../gateway/advertise.ts";
import {
  createJoinToken,
  JOIN_TOKEN_TTL_MS,
  type JoinToken,
  parseJoinToken,
} from "../../gateway/federation/join-token.ts";
import { LINKS, type Link, SECRETS } from "../../kube/resources.ts";
import { accessMesh, type MeshCluster } from "../cluster-access.ts";
import { applyLink, failureBefore, linkActive, linkObjects, withdrawLink } from "../linking/link-objects.ts";
import { describePlan, fingerprintOf, planLink } from "../linking/link-plan.ts";
import { duration, show } from "../output.ts";
import { type CommonOptions, durationMs, requireOption, type VerbContext, withCommonOptions } from "../program.ts";
import { runSteps, type Step } from "../steps.ts";

interface LinkOptions extends CommonOptions {
  readonly to?: string;
  readonly plan?: boolean;
  readonly oneWay?: boolean;
  readonly timeout: number;
}

interface TokenOptions extends CommonOptions {
  readonly for?: string;
  readonly ttl: number;
}

interface JoinOptions extends CommonOptions {
  readonly oneWay?: boolean;
  readonly timeout: number;
}

export function registerLink(program: Command, context: VerbContext): void {
  const link = withCommonOptions(
    program
      .command("link")
      .description("link another cluster: consume what it exports, and offer it what this one exports")
      .option("--to <context>", "context of the cluster that consumes (default: the current context)")
      .option("--plan", "print what would be exposed, and change nothing")
      .option("--one-way", "only consume; offer the other cluster nothing")
      .option("--timeout <duration>", "how long the link may take to become active", durationMs, 30_000),
    "context of the cluster to link",
  ).action(async (options: LinkOptions) => {
    await linkClusters(options, context);
  });
  // What stands behind `token` or `join` is theirs, not the verb's.
  link.enablePositionalOptions();
  withCommonOptions(
    link
      .command("token")
      .description("make a one-use join token, for an administrator of another cluster")
      .option("--for <cluster>", "only this cluster may use it")
      .option("--ttl <duration>", "how long it may be used", durationMs, JOIN_TOKEN_TTL_MS),
    "the cluster that exports",
  ).action(async (options: TokenOptions) => {
    await makeToken(options, context);
  });
  withCommonOptions(
    link
      .command("join")
      .description("use a join token of another cluster")
      .argument(
        "<file>",
        "file with the token, or - for standard input (never on the command line, where others can read it)",
      )
      .option("--one-way", "only consume; offer the other cluster nothing")
      .option("--timeout <duration>", "how long the link may take to become active", durationMs, 30_000),
    "the cluster that consumes",
  ).action(async (file: string, options: JoinOptions) => {
    await join(file, options, context);
  });
}

async function linkClusters(options: LinkOptions, context: VerbContext): Promise<void> {
  const startedMs = performance.now();
  const contextName = requireOption(
    options.context,
    "--context",
    "name the cluster to link, as in mesh link --context east",
  );
  const kubeconfig = options.kubeconfig === undefined ? {} : { kubeconfig: options.kubeconfig };
  const own = await accessMesh(
    { ...kubeconfig, ...(options.to === undefined ? {} : { context: options.to }) },
    context.env,
  );
  const peer = await accessMesh({ ...kubeconfig, context: contextName }, context.env);
  requireDistinct(peer, own);
  const plan = await planLink(peer, own, options.oneWay === true);
  if (options.plan === true) {
    show(options.output, plan, () => `${describePlan(plan)}\nnothing was changed`, context.stdout);
    return;
  }
  const known = await own.kube.get<Link>(LINKS, peer.cluster);
  if (known !== undefined && isLinked(known, peer, options.oneWay === true)) {
    const result = { cluster: peer.cluster, phase: "active", changed: false };
    show(
      options.output,
      result,
      () => `${own.cluster} is linked to ${peer.cluster} already; the link is active`,
      context.stdout,
    );
    return;
  }
  const gateways = await advertisedGateways(peer.kube);
  if (gateways.length === 0) {
    throw new MeshError(
      "NOT_INSTALLED",
      `Cannot link ${peer.cluster}: no gateway runs there. Start it with mesh serve --roles gateway --context ${contextName}.`,
    );
  }
  const made = createJoinToken({
    cluster: peer.cluster,
    trustDomain: peer.trustDomain,
    gateways,
    rootFingerprint: fingerprintOf(peer.rootPem),
    forCluster: own.cluster,
    nowMs: systemClock.wallMs(),
  });
  const token = parseJoinToken(made.text, systemClock.wallMs());
  const objects = linkObjects(token, made.text, options.oneWay === true);
  let isNew = false;
  let applied = false;
  const steps: Step[] = [
    {
      title: `join token in ${peer.cluster}`,
      async run(say) {
        await peer.kube.create(SECRETS, made.manifest);
        say("one use, 15 minutes");
      },
    },
    {
      title: `${own.cluster} joins over TLS pinned to ${token.rootFingerprint.slice(0, 19)}…`,
      async run(say) {
        applied = true;
        const before = await failureBefore(own.kube, peer.cluster);
        isNew = await applyLink(own.kube, objects);
        await linkActive(own.kube, peer.cluster, options.timeout, systemClock, context.signal, before);
        say("trust anchors exchanged in both directions");
      },
    },
    {
      title: `${peer.cluster} has the link too`,
      async run(say) {
        await linkActive(peer.kube, own.cluster, options.timeout, systemClock, context.signal);
        say("active");
      },
    },
  ];
  try {
    await runSteps(steps, { out: options.output === "table" ? context.stdout : context.stderr });
  } catch (error) {
    // An interrupted link is left to come about by itself; without its token it would fail for good.
    const goesOn = applied && context.signal.aborted;
    if (!goesOn) await peer.kube.delete(SECRETS, made.manifest.metadata.name, SYSTEM_NAMESPACE).catch(() => false);
    if (isNew && !context.signal.aborted) await rollBack(own, objects, error);
    throw error;
  }
  const tookMs = Math.round(performance.now() - startedMs);
  const result = { cluster: peer.cluster, phase: "active", changed: true, tookMs, plan };
  show(
    options.output,
    result,
    () => `${describePlan(plan)}\n${own.cluster} and ${peer.cluster} are linked (${duration(tookMs)})`,
    context.stdout,
  );
}

/** What a failed link left goes again; where that fails too, both reasons are told. */
async function rollBack(own: MeshCluster, objects: ReturnType<typeof linkObjects>, why: unknown): Promise<void> {
  try {
    // Also when the verb itself was interrupted.
    await withdrawLink(own.kube, objects, systemClock, new AbortController().signal);
  } catch (error) {
    const code = why instanceof MeshError ? why.code : "INTERNAL";
    throw new MeshError(
      code,
      `${errorText(why)} And the link could not be removed again (${errorText(error)}): run mesh unlink ${objects.link.metadata.name}.`,
      { cause: why },
    );
  }
}

/** @throws MeshError LINK_SELF, NAME_INVALID */
function requireDistinct(peer: MeshCluster, own: MeshCluster): void {
  const same = fingerprintOf(peer.rootPem) === fingerprintOf(own.rootPem) || peer.server === own.server;
  if (same) {
    throw new MeshError(
      "LINK_SELF",
      `Cannot link ${peer.cluster} to itself: contexts "${peer.context}" and "${own.context}" are the same cluster. Choose another with --context or --to.`,
    );
  }
  if (peer.cluster === own.cluster) {
    throw new MeshError(
      "NAME_INVALID",
      `Cannot link two clusters that are both called "${peer.cluster}": start one of them with mesh serve --cluster <another name>.`,
    );
  }
}

/** Whether the same link is there and works. @throws MeshError LINK_EXISTS where it is to another root */
function isLinked(link: Link, peer: MeshCluster, oneWay: boolean): boolean {
  // A link that is active has followed the peer's rotations since it was joined.
  if (link.status?.phase !== "active" && link.spec.rootFingerprint !== fingerprintOf(peer.rootPem)) {
    throw new MeshError(
      "LINK_EXISTS",
      `Cannot link ${peer.cluster}: a link of that name trusts another root, ${link.spec.rootFingerprint}. Run mesh unlink ${peer.cluster} first.`,
    );
  }
  if (!link.spec.import || link.spec.export === oneWay) return false;
  return link.status?.phase === "active" || link.status?.phase === "degraded";
}

async function makeToken(options: TokenOptions, context: VerbContext): Promise<void> {
  const own = await accessMesh(options, context.env);
  const gateways = await advertisedGateways(own.kube);
  if (gateways.length === 0)
    throw new MeshError(
      "NOT_INSTALLED",
      `Cannot make a token: no gateway runs in ${own.cluster}. Start it with mesh serve.`,
    );
  const made = createJoinToken({
    cluster: own.cluster,
    trustDomain: own.trustDomain,
    gateways,
    rootFingerprint: fingerprintOf(own.rootPem),
    ...(options.for === undefined ? {} : { forCluster: parseClusterName(options.for) }),
    ttlMs: options.ttl,
    nowMs: systemClock.wallMs(),
  });
  await own.kube.create(SECRETS, made.manifest);
  const result = { token: made.text, cluster: own.cluster, expiresAt: new Date(made.expiresAtMs).toISOString() };
  show(options.output, result, () => made.text, context.stdout);
  if (options.output === "table")
    context.stderr.write(`one use, until ${result.expiresAt}; there: mesh link join <file>\n`);
}

async function join(file: string, options: JoinOptions, context: VerbContext): Promise<void> {
  const text = readToken(file);
  const token: JoinToken = parseJoinToken(text, systemClock.wallMs());
  const own = await accessMesh(options, context.env);
  if (token.cluster === own.cluster)
    throw new MeshError("LINK_SELF", `Cannot link ${own.cluster} to itself: the token is its own.`);
  const objects = linkObjects(token, text, options.oneWay === true);
  if (options.output === "yaml") {
    // For GitOps: what would be created, the token left for a secret store to fill in.
    const secret = { ...objects.secret, data: undefined, stringData: { token: "<the join token>" } };
    context.stdout.write([secret, objects.link].map((object) => stringify(object)).join("---\n"));
    return;
  }
  const before = await failureBefore(own.kube, token.cluster);
  const isNew = await applyLink(own.kube, objects);
  try {
    await linkActive(own.kube, token.cluster, options.timeout, systemClock, context.signal, before);
  } catch (error) {
    if (isNew && !context.signal.aborted) await rollBack(own, objects, error);
    throw error;
  }
  const result = { cluster: token.cluster, phase: "active", changed: true };
  show(options.output, result, () => `${own.cluster} and ${token.cluster} are linked`, context.stdout);
}

function readToken(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8").trim();
  } catch (error) {
    throw new MeshError("USAGE", `Cannot read the token from ${file}: ${errorText(error)}.`, { cause: error });
  }
}
