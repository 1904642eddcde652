import { type Register, runCommandLine } from "./command-line.ts";

/** Every verb, in the order of the help: a process loads its own only, for a sidecar's sake most of all. */
const VERBS: Readonly<Record<string, () => Promise<Register>>> = {
  up: async () => (await import("./verbs/up.ts")).registerUp,
  down: async () => (await import("./verbs/down.ts")).registerDown,
  link: async () => (await import("./verbs/link.ts")).registerLink,
  unlink: async () => (await import("./verbs/unlink.ts")).registerUnlink,
  links: async () => (await import("./verbs/links.ts")).registerLinks,
  export: async () => (await import("./verbs/export.ts")).registerExport,
  services: async () => (await import("./verbs/services.ts")).registerServices,
  gateways: async () => (await import("./verbs/gateways.ts")).registerGateways,
  failover: async () => (await import("./verbs/failover.ts")).registerFailover,
  evacuate: async () => (await import("./verbs/evacuate.ts")).registerEvacuate,
  trust: async () => (await import("./verbs/trust.ts")).registerTrust,
  exec: async () => (await import("./verbs/exec.ts")).registerExec,
  registry: async () => (await import("./verbs/registry.ts")).registerRegistry,
  drill: async () => (await import("./verbs/drill.ts")).registerDrill,
  install: async () => (await import("./verbs/install.ts")).registerInstall,
  serve: async () => (await import("./verbs/serve.ts")).registerServe,
  proxy: async () => (await import("./verbs/proxy.ts")).registerProxy,
  "proxy-init": async () => (await import("./verbs/proxy-init.ts")).registerProxyInit,
  relay: async () => (await import("./verbs/relay.ts")).registerRelay,
  local: async () => (await import("./verbs/local.ts")).registerLocal,
};

/** What the first word asks for; all where it is no verb of one file: for the help, and for what was mistyped. */
async function registrations(word: string | undefined): Promise<Register[]> {
  const own = word !== undefined && Object.hasOwn(VERBS, word) ? VERBS[word] : undefined;
  return await Promise.all((own === undefined ? Object.values(VERBS) : [own]).map((load) => load()));
}

/** Runs `mesh <argv>` and sets the exit status. */
export async function run(argv: readonly string[]): Promise<void> {
  await runCommandLine(argv, () => registrations(argv[0]));
}
