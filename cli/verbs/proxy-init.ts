import { spawn } from "node:child_process";
import type { Command } from "commander";
import { PORTS } from "../../core/defaults.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import { type PortRange, parseCidrs, parsePorts, redirectRules, removalRules } from "../interception/nft-rules.ts";
import { type VerbContext, wholeNumber } from "../program.ts";

interface ProxyInitOptions {
  readonly proxyUid?: number;
  readonly proxyGid?: number;
  readonly proxyMark?: number;
  readonly outboundPort: number;
  readonly inboundPort: number;
  readonly adminPort: number;
  readonly skipOutboundPorts: readonly PortRange[];
  readonly skipOutboundCidrs: readonly string[];
  readonly skipInboundPorts: readonly PortRange[];
  readonly skipInboundCidrs: readonly string[];
  readonly remove?: boolean;
  readonly dryRun?: boolean;
}

const MAX_ID = 4_294_967_294;
const NO_PORTS: readonly PortRange[] = [];
const NO_CIDRS: readonly string[] = [];

export function registerProxyInit(program: Command, context: VerbContext): void {
  const port = wholeNumber(1, 65_535);
  const id = wholeNumber(1, MAX_ID);
  program
    .command("proxy-init")
    .description("redirects the TCP connections of this network namespace to its proxy, by nftables")
    .option("--proxy-uid <n>", "user of the proxy, whose own connections are let through", id)
    .option("--proxy-gid <n>", "its group, in place of the user or as well", id)
    .option("--proxy-mark <n>", "mark of its packets, likewise", id)
    .option("--outbound-port <n>", "of the proxy", port, PORTS.outbound)
    .option("--inbound-port <n>", "of the proxy", port, PORTS.inbound)
    .option("--admin-port <n>", "of the proxy; never redirected", port, PORTS.admin)
    .option(
      "--skip-outbound-ports <list>",
      "ports that the app reaches directly: 25,8000-8100",
      readList(parsePorts),
      NO_PORTS,
    )
    .option("--skip-outbound-cidrs <list>", "networks that it reaches directly", readList(parseCidrs), NO_CIDRS)
    .option("--skip-inbound-ports <list>", "ports of the app that are reached directly", readList(parsePorts), NO_PORTS)
    .option("--skip-inbound-cidrs <list>", "networks from which it is reached directly", readList(parseCidrs), NO_CIDRS)
    .option("--remove", "take the rules away again")
    .option("--dry-run", "print what nft would be given, and change nothing")
    .action(async (options: ProxyInitOptions) => {
      const text = options.remove === true ? removalRules() : rulesOf(options);
      if (options.dryRun === true) context.stdout.write(text);
      else await applyRules(text);
    });
}

/** Without what commander adds: what was given before. */
function readList<T>(parse: (text: string) => readonly T[]): (text: string) => readonly T[] {
  return (text) => parse(text);
}

function rulesOf({ proxyUid: uid, proxyGid: gid, proxyMark: mark, ...rules }: ProxyInitOptions): string {
  return redirectRules({
    ...rules,
    proxy: {
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(mark === undefined ? {} : { mark }),
    },
  });
}

/** @throws MeshError INTERCEPTION with nft's own words */
async function applyRules(text: string): Promise<void> {
  const { status, said } = await new Promise<{ status: number; said: string }>((resolve, reject) => {
    const nft = spawn("nft", ["-f", "-"], { stdio: ["pipe", "ignore", "pipe"] });
    let said = "";
    nft.stderr.setEncoding("utf8").on("data", (data: string) => {
      said = `${said}${data}`.slice(0, 2_000);
    });
    nft.stdin.on("error", () => {});
    nft.stdin.end(text);
    nft.once("error", (error: NodeJS.ErrnoException) => {
      const missing = error.code === "ENOENT";
      const why = missing
        ? "there is no nft. Install the nftables package"
        : `${errorText(error)}. See what confines it`;
      reject(new MeshError("INTERCEPTION", `Cannot apply the rules: ${why}.`, { cause: error }));
    });
    nft.once("close", (code) => resolve({ status: code ?? 1, said }));
  });
  if (status === 0) return;
  if (/not permitted|permission denied/i.test(said))
    throw new MeshError("INTERCEPTION", "Cannot apply the rules: not permitted. Run as root, or with CAP_NET_ADMIN.");
  throw new MeshError("INTERCEPTION", `Cannot apply the rules: nft says ${errorText(said)}. See --dry-run.`);
}
