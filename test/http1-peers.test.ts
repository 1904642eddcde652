import { deepEqual, equal, ok } from "node:assert/strict";
import { connect } from "node:net";
import { NEXT, REQUESTS, type RequestCase } from "./support/corpus/http1-requests.ts";
import { type Peer, type PeerName, peerInstalled, startPeer } from "./support/http1-peers.ts";
import { Wire } from "./support/http1-wire.ts";
import { Llhttp } from "./support/llhttp.ts";
import { createProxyWorld, type ProxyWorld } from "./support/proxy-world.ts";
import { type RecordingApp, startRecordingApp } from "./support/recording-app.ts";

const LANES = 16;
/** The last request on the connection, so that the peer ends it. */
const LAST = NEXT.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");

/** Sends `pieces` on one connection; the statuses of what came back until its end, or until `enough` answers. */
function exchange(port: number, pieces: readonly Buffer[], enough: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const answers: string[] = [];
    const reader = new Llhttp("response");
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const limit = setTimeout(() => socket.destroy(), 5_000);
    reader.onMessage = ({ status }) => {
      answers.push(String(status));
      if (answers.length === enough) socket.end();
    };
    socket.once("error", () => {});
    socket.once("close", () => {
      clearTimeout(limit);
      resolve(answers);
    });
    socket.on("data", (bytes) => reader.execute(bytes));
    const send = (i: number) => {
      const piece = pieces[i];
      if (piece === undefined || socket.destroyed) return;
      socket.write(piece, () => setImmediate(() => send(i + 1)));
    };
    socket.once("connect", () => send(0));
    socket.once("connectionAttemptFailed", reject);
  });
}

/** What we pass on of a case, as a server sees it, and as octets of the connection with the first request. */
function ours(c: RequestCase): { requests: string[]; first: string[]; forwarded: string } {
  const wire = new Wire();
  wire.say(c.bytes + LAST);
  const first = wire.seen[0]?.messages.map(({ method, target, body }) => `${method} ${target} ${body}`) ?? [];
  return { requests: wire.requests, first, forwarded: wire.servers[0]?.text ?? "" };
}

for (const name of ["haproxy", "nginx"] as PeerName[]) {
  describe(`HTTP/1 against ${name}`, function () {
    this.timeout(60_000);
    const apps: RecordingApp[] = [];
    let peer: (Peer & { ports: number[] }) | undefined;

    before(async function () {
      if (!peerInstalled(name)) {
        console.log(`      ${name} is not installed: its opinion is not asked`);
        this.skip();
      }
      for (let i = 0; i < LANES; i++) apps.push(await startRecordingApp());
      peer = await startPeer(
        name,
        apps.map(({ port }) => port),
      );
    });

    after(async () => {
      await peer?.close();
      for (const app of apps) await app.close();
    });

    /** Gives every case to the peer and collects what `judge` finds wrong. */
    async function all(
      cases: readonly RequestCase[],
      bytes: (c: RequestCase) => string,
      enough: (c: RequestCase) => number,
      judge: (c: RequestCase, seen: string[]) => string | undefined,
    ): Promise<string[]> {
      const queue = [...cases];
      const wrong: string[] = [];
      await Promise.all(
        apps.map(async (app, i) => {
          for (let c = queue.shift(); c !== undefined; c = queue.shift()) {
            await exchange(peer?.ports[i] ?? 0, [Buffer.from(bytes(c), "latin1")], enough(c));
            const complaint = judge(c, app.taken());
            if (complaint !== undefined) wrong.push(`${c.group}: ${c.name}: ${complaint}`);
          }
        }),
      );
      return wrong;
    }

    it("passes on nothing that it would refuse or read otherwise, but for listed exceptions", async () => {
      let stricter = 0;
      const wrong = await all(
        REQUESTS.filter(
          ({ verdict, stricter: known }) =>
            verdict !== "tunnel" && known?.[name] === undefined && known?.llhttp === undefined,
        ),
        (c) => c.bytes + LAST,
        () => 9,
        (c, seen) => {
          const { requests } = ours(c);
          if (seen.length > requests.length) stricter++;
          const same = requests.every((request, i) => seen[i] === request);
          return same ? undefined : `we pass on ${JSON.stringify(requests)}, ${name} ${JSON.stringify(seen)}`;
        },
      );
      console.log(`      stricter than ${name} in ${stricter} cases`);
      deepEqual(wrong, []);
    });

    it("passes on what it reads as the same requests", async () => {
      const wrong = await all(
        REQUESTS.filter(
          (c) => Array.isArray(c.verdict) && c.stricter?.[name] === undefined && c.stricter?.llhttp === undefined,
        ),
        (c) => ours(c).forwarded,
        (c) => ours(c).first.length,
        (c, seen) => {
          const { first } = ours(c);
          const same = JSON.stringify(first) === JSON.stringify(seen);
          return same ? undefined : `we pass on ${JSON.stringify(first)}, ${name} reads ${JSON.stringify(seen)}`;
        },
      );
      deepEqual(wrong, []);
    });
  });
}

describe("HTTP/1 through two proxies, over sockets", function () {
  this.timeout(60_000);
  let world: ProxyWorld;
  let app: RecordingApp;
  let port: number;

  before(async () => {
    world = await createProxyWorld();
    app = await startRecordingApp();
    world.later(() => app.close());
    const limits = { headMs: 150, bodyMs: 150 };
    const server = await world.proxy("web", { limits });
    const client = await world.proxy("client", { limits });
    port = client.outboundPort;
    world.web(app.port, server.inboundPort);
  });
  after(() => world.close());

  it("answers and passes on every case of the corpus as the table says, whole and cut in two", async () => {
    let step = 0;
    for (const c of REQUESTS) {
      if (c.verdict === "tunnel" || c.foreign === true || c.stricter?.llhttp !== undefined) continue;
      const bytes = Buffer.from(c.verdict === "waits" ? c.bytes : c.bytes + LAST, "latin1");
      step += 7;
      const cut = 1 + (step % (bytes.length - 1));
      for (const pieces of [[bytes], [bytes.subarray(0, cut), bytes.subarray(cut)]]) {
        const answers = await exchange(port, pieces, 9);
        const where = `${c.group}: ${c.name}, ${pieces.length} pieces`;
        if (c.verdict === "waits") deepEqual([answers, app.taken()], [["408"], []], where);
        else if (typeof c.verdict === "number") deepEqual([answers, app.taken()], [[String(c.verdict)], []], where);
        else {
          deepEqual(app.taken(), [...c.verdict, "GET /next "], where);
          ok(answers.every((answer) => answer === "200"));
          equal(answers.length, c.verdict.length + 1, where);
        }
      }
    }
  });
});
