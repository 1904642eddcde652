/** The load process of the federation measurement: discovery streams and simulated peers. Its parent says what to do. */
import { errorText } from "../../core/errors.ts";
import { DiscoveryStreams } from "./discovery-streams.ts";
import type { FederationAnswer, FederationCommand } from "./load-commands.ts";
import { SimulatedPeers } from "./simulated-peers.ts";

let streams: DiscoveryStreams | undefined;
const peers = new SimulatedPeers();

async function perform(command: FederationCommand): Promise<FederationAnswer> {
  switch (command.kind) {
    case "proxies":
      streams = await DiscoveryStreams.open(command);
      return { kind: "proxies" };
    case "seen":
      return { kind: "seen", states: streams?.take() ?? [] };
    case "peers":
      return { kind: "peers", peers: await peers.make(command.from, command.to) };
    case "dial":
      await peers.dial(command);
      return { kind: "dial" };
    default:
      return command satisfies never;
  }
}

process.setMaxListeners(0);
process.on("message", (command: FederationCommand) => {
  perform(command).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ kind: "failed", reason: errorText(error) } satisfies FederationAnswer),
  );
});
process.on("disconnect", () => process.exit());
