import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { type Command, Option } from "commander";
import { PORTS } from "../../core/defaults.ts";
import { errorText, MeshError } from "../../core/errors.ts";
import {
  deliveryCommands,
  type PortRange,
  parseCidrs,
  parsePorts,
  redirectRules,
  removalRules,
  tproxyRules,
} from "../interception/nft-rules.ts";
import { type VerbContext, wholeNumber } from "../program.ts";

interface ProxyInitOptions {
  readonly mode: "redirect" | "tproxy";
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
    .addOption(
      new Option("--mode <mode>", "as the proxy's --intercept; tproxy needs CAP_NET_ADMIN there, and no NAT")
        .choices(["redirect", "tproxy"])
        .default("redirect"),
    )
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
      const { remove = false, mode } = options;
      const text = remove ? removalRules() : rulesOf(options);
      const delivery = !remove && mode === "tproxy";
      if (options.dryRun === true) {
        const commands = delivery ? deliveryCommands("add").map((args) => `# ip ${args.join(" ")}\n`) : [];
        context.stdout.write(commands.join("") + text);
        return;
      }
      if (remove || delivery) await stopDelivery();
      if (delivery) await startDelivery();
      await run("nft", ["-f", "-"], text);
    });
}

/** Without what commander adds: what was given before. */
function readList<T>(parse: (text: string) => readonly T[]): (text: string) => readonly T[] {
  return (text) => parse(text);
}

function rulesOf({ mode, proxyUid: uid, proxyGid: gid, proxyMark: mark, ...rules }: ProxyInitOptions): string {
  return (mode === "tproxy" ? tproxyRules : redirectRules)({
    ...rules,
    proxy: {
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(mark === undefined ? {} : { mark }),
    },
  });
}

/** Takes away what an earlier call left; nothing where there is nothing. */
async function stopDelivery(): Promise<void> {
  for (const args of deliveryCommands("delete")) await execute("ip", args).catch(() => {});
}

async function startDelivery(): Promise<void> {
  const ipv6 = existsSync("/proc/sys/net/ipv6");
  for (const args of deliveryCommands("add")) if (ipv6 || args[0] !== "-6") await run("ip", args);
}

/** @throws MeshError INTERCEPTION with the program's own words */
async function run(program: "nft" | "ip", args: readonly string[], input = ""): Promise<void> {
  const { status, said } = await execute(program, args, input);
  if (status === 0) return;
  const why = /not permitted|permission denied/i.test(said)
    ? "not permitted. Run as root, or with CAP_NET_ADMIN"
    : `${program} says ${errorText(said)}. See --dry-run`;
  throw new MeshError("INTERCEPTION", `Cannot apply the rules: ${why}.`);
}

/** @throws MeshError INTERCEPTION where there is no such program */
async function execute(
  program: "nft" | "ip",
  args: readonly string[],
  input = "",
): Promise<{ status: number; said: string }> {
  return await new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "ignore", "pipe"] });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (data: string) => {
      said = `${said}${data}`.slice(0, 2_000);
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.once("error", (error: NodeJS.ErrnoException) => {
      const why =
        error.code === "ENOENT"
          ? `there is no ${program}. Install the ${program === "nft" ? "nftables" : "iproute2"} package`
          : `${errorText(error)}. See what confines it`;
      reject(new MeshError("INTERCEPTION", `Cannot apply the rules: ${why}.`, { cause: error }));
    });
    child.once("close", (code) => resolve({ status: code ?? 1, said }));
  });
}
