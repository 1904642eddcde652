import { REQUESTS, type RequestVerdict } from "./http1-requests.ts";
import { RESPONSES, type ResponseVerdict } from "./http1-responses.ts";

const SHOWN = 110;

/** Octets as JavaScript would write them, the middle of what is long left out. */
function visible(bytes: string): string {
  const text = JSON.stringify(bytes)
    .slice(1, -1)
    .replaceAll('\\"', '"')
    .replaceAll(/[\x7f-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`)
    .replaceAll(/\\u00(..)/g, "\\x$1");
  const half = SHOWN / 2;
  const short = text.length <= SHOWN ? text : `${text.slice(0, half)} … ${text.slice(-half)}`;
  return `\`${short.replaceAll("|", "\\|").replaceAll("`", "'")}\``;
}

function requestVerdict(verdict: RequestVerdict): string {
  if (verdict === "waits") return "waits, then 408";
  if (verdict === "tunnel") return "tunnel";
  if (typeof verdict === "number") return `**${verdict}**, end`;
  return `passed on: ${verdict.map((seen) => `\`${seen.length > 40 ? `${seen.slice(0, 40)}…` : seen.trim()}\``).join(", ")}`;
}

function responseVerdict(verdict: ResponseVerdict): string {
  if (verdict === 502) return "**502**";
  if (verdict === "cut") return "cut short by a reset";
  return `passed on: ${verdict.map((seen) => `\`${seen.trim()}\``).join(", ")}`;
}

interface Row {
  readonly group: string;
  readonly name: string;
  readonly bytes: string;
  readonly says: string;
  readonly why?: string;
}

function tables(rows: readonly Row[]): string {
  const groups = [...new Set(rows.map(({ group }) => group))];
  return groups
    .map((group) => {
      const members = rows.filter((row) => row.group === group);
      const reasons = [...new Set(members.map(({ why }) => why).filter((why) => why !== undefined))];
      const lines = members.map(
        ({ name, bytes, says }) => `| ${name.replaceAll("|", "\\|")} | ${visible(bytes)} | ${says} |`,
      );
      return [`### ${group}`, ...reasons, "", "| what | octets | verdict |", "|---|---|---|", ...lines, ""].join("\n");
    })
    .join("\n");
}

function exceptions(): string {
  return REQUESTS.flatMap(({ group, name, stricter = {} }) =>
    Object.entries(stricter).map(([who, why]) => `| ${group}: ${name} | ${who} | ${why} |`),
  ).join("\n");
}

/** docs/http1-verdicts.md. */
export function verdictPage(): string {
  const requests = REQUESTS.map((c) => ({ ...c, says: requestVerdict(c.verdict) }));
  const responses = RESPONSES.map((c) => ({ ...c, says: responseVerdict(c.verdict) }));
  return `# What HTTP/1 messages are answered

Rendered from \`test/support/corpus\` by \`node scripts/http1-verdicts.mjs\`; a test fails while it is stale. Each case is sent
whole, cut in two at every octet, octet by octet, and with another request right behind it: same verdict, same octets
passed on. What is passed on is read back with llhttp (Node), HAProxy and nginx, which must see the same requests.

Where a message could be read in two ways it is refused and the connection ends, so nothing behind it is taken for a
request. The rules, with the limits: a head has at most 64 KiB and 200 fields, a method 32 octets, Content-Length 15
digits, a chunk size 12; an answer's head 68 KiB and 208 fields; chunk extensions and trailers of a message 16 KiB together; Connection names 64 fields; an
answer has at most 1,000 1xx before it. 10 s for a head, 60 s without a byte of a body that is awaited (408), 60 s
without taking anything of an answer (the connection ends) or of a request (504), 5 minutes without a request.

Upgrades to HTTP itself (h2c, TLS) are not passed on: in what follows an upgrade a client could say of itself what only
the mesh may say. Fields called \`x-causeway-*\`, also with underscores, end here, in heads and in trailers.

## Requests

${tables(requests)}
### Where another proxy is stricter
| what | who | why that is safe here |
|---|---|---|
${exceptions()}

## Responses

${tables(responses)}`;
}
