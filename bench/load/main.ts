/** The load process: app and load generator on the core that is not measured. Its parent says what to do. */
import { errorText } from "../../core/errors.ts";
import { silentLog } from "../../core/log.ts";
import { createTransport } from "../../transport/create-transport.ts";
import type { Transport } from "../../transport/transport.ts";
import { runBulkLoad } from "./bulk-load.ts";
import type { LoadAnswer, LoadCommand } from "./commands.ts";
import { runConnectionLoad } from "./connection-load.ts";
import { serveApp } from "./http-app.ts";
import { runHttpLoad } from "./http-load.ts";

const bytes = (text: string) => Buffer.from(text, "base64");

async function perform(transport: Transport, command: LoadCommand): Promise<LoadAnswer> {
  switch (command.kind) {
    case "app":
      return { kind: "app", port: (await serveApp(transport, command.bodyBytes)).port };
    case "http": {
      const result = await runHttpLoad(transport, {
        ...command,
        prologue: bytes(command.prologue),
        request: bytes(command.request),
      });
      return { kind: "http", ...result };
    }
    case "connections":
      return {
        kind: "connections",
        ...(await runConnectionLoad(transport, { ...command, opening: bytes(command.opening) })),
      };
    case "bulk":
      return { kind: "bulk", ...(await runBulkLoad(transport, { ...command, opening: bytes(command.opening) })) };
    default:
      return command satisfies never;
  }
}

const transport = await createTransport({ adapter: "auto", log: silentLog });
process.on("message", (command: LoadCommand) => {
  perform(transport, command).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ kind: "failed", reason: errorText(error) } satisfies LoadAnswer),
  );
});
process.on("disconnect", () => process.exit());
