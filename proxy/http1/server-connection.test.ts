import assert from "node:assert/strict";
import { type FakeStream, OK, Wire } from "../../test/support/http1-wire.ts";

const GET = "GET / HTTP/1.1\r\nHost: web.shop\r\n\r\n";
const POST = "POST / HTTP/1.1\r\nHost: web.shop\r\nContent-Length: 100\r\n\r\n";
const START = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";

function first(wire: Wire): FakeStream {
  const [server] = wire.servers;
  assert.ok(server !== undefined);
  return server;
}

/** A wire whose server has begun a long answer that the client does not take. */
function behind(): Wire {
  const wire = new Wire(() => START);
  wire.client.full = true;
  wire.say(GET);
  first(wire).deliver(Buffer.alloc(1_000, 120));
  wire.settle();
  return wire;
}

describe("ServerConnection", () => {
  it("holds the server back for a client that is behind, and goes on when it has caught up", () => {
    const wire = behind();
    assert.equal(first(wire).paused, true);
    const before = wire.client.writtenBytes;
    wire.client.drain();
    wire.settle();
    assert.equal(first(wire).paused, false);
    assert.ok(wire.client.writtenBytes > before);
  });

  it("breaks off an answer of which the client takes nothing for a minute", async () => {
    const wire = behind();
    await wire.pass(59_000);
    assert.equal(wire.client.closed, false);
    await wire.pass(2_000);
    assert.deepEqual([wire.client.wasReset, first(wire).closed], [true, true]);
    assert.equal(wire.handler.finishes, 1);
  });

  it("keeps a client that takes a little each minute", async () => {
    const wire = behind();
    for (let i = 0; i < 5; i++) {
      await wire.pass(50_000);
      wire.client.pendingBytes--;
    }
    assert.equal(wire.client.closed, false);
  });

  it("serves no further request before the client has taken the answers", async () => {
    const wire = new Wire();
    wire.client.full = true;
    wire.say(GET.repeat(3));
    assert.equal(wire.requests.length, 1);
    wire.client.drain();
    wire.settle();
    assert.equal(wire.requests.length, 3);
    const stuck = new Wire();
    stuck.client.full = true;
    stuck.say(GET.repeat(3));
    await stuck.pass(61_000);
    assert.deepEqual([stuck.client.closed, stuck.requests.length], [true, 1]);
  });

  it("answers 504 where nobody takes the request's body, and does not while an answer comes", async () => {
    const stalled = (answer?: string) => {
      const wire = new Wire(OK, {}, (server) => {
        server.full = true;
      });
      wire.say(`${POST}abc`);
      wire.say("def");
      if (answer !== undefined) first(wire).deliver(Buffer.from(answer));
      wire.settle();
      return wire;
    };
    const silent = stalled();
    assert.equal(silent.client.paused, true);
    await silent.pass(61_000);
    assert.match(silent.client.text, /^HTTP\/1\.1 504 /);
    const answering = stalled(START);
    await answering.pass(61_000);
    assert.equal(answering.client.closed, false);
  });

  it("lets a slow client take its last answer before the connection ends", async () => {
    const wire = new Wire(() => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    wire.client.full = true;
    wire.say(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    assert.equal(wire.client.ended, true);
    await wire.pass(30_000);
    assert.equal(wire.client.closed, false);
    wire.client.drain();
    await wire.pass(1_500);
    assert.equal(wire.client.closed, true);
    assert.equal(wire.engine.connections.size, 0);
  });

  it("ends a lingering client that sends without end", () => {
    const wire = new Wire();
    wire.say("nonsense\r\n");
    assert.equal(wire.client.ended, true);
    for (let i = 0; i < 17 && !wire.client.closed; i++) wire.say(Buffer.alloc(65_536));
    assert.equal(wire.client.wasReset, true);
  });

  it("answers all requests of a client that half-closes behind them, then ends", () => {
    const wire = new Wire();
    wire.client.deliver(Buffer.from(GET.repeat(3)));
    wire.client.deliverEnd();
    wire.settle();
    assert.equal(wire.client.text.split("HTTP/1.1 200").length, 4);
    assert.equal(wire.client.ended, true);
  });

  it("refuses an upgrade's 101 that comes before the end of the request, and one that offers HTTP", () => {
    const switching = "HTTP/1.1 101 Switching\r\nUpgrade: chat/2\r\nConnection: upgrade\r\n\r\n";
    const early = new Wire();
    early.say(POST.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: chat/2\r\n\r\n"));
    first(early).deliver(Buffer.from(switching));
    early.settle();
    assert.match(early.client.text, /^HTTP\/1\.1 502 /);
    const http = new Wire(() => switching);
    http.say(GET.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"));
    assert.doesNotMatch(http.forwarded, /upgrade/i);
    assert.match(http.client.text, /^HTTP\/1\.1 502 /);
  });

  it("bounds 1xx answers", () => {
    const wire = new Wire(() => "HTTP/1.1 102 Processing\r\n\r\n".repeat(1_001));
    wire.say(GET);
    assert.match(wire.client.text, /HTTP\/1\.1 502 [\s\S]*$/);
  });

  it("keeps a trickling head within its 10 s, and its parsing linear", async () => {
    const wire = new Wire();
    for (let i = 0; i < 9; i++) {
      wire.say(i === 0 ? "GET / HTTP/1.1\r\n" : `X${i}: y\r\n`);
      await wire.pass(1_200);
    }
    assert.match(wire.client.text, /^HTTP\/1\.1 408 /);
  });
});
