import assert from "node:assert/strict";
import { MeshError } from "../core/errors.ts";
import { loadOriginalDestinations, parseSockaddr, plainAddress } from "./original-destination.ts";

/** A sockaddr as this machine's kernel lays it out. */
function sockaddr(family: number, port: number, at: number, address: readonly number[]): Buffer {
  const b = Buffer.alloc(28);
  new Uint16Array(b.buffer, b.byteOffset, 1)[0] = family;
  b.writeUInt16BE(port, 2);
  b.set(address, at);
  return b;
}

describe("parseSockaddr()", () => {
  it("reads IPv4 and IPv6, in its canonical form, and nothing else", () => {
    assert.deepEqual(parseSockaddr(sockaddr(2, 443, 4, [192, 0, 2, 1])), { address: "192.0.2.1", port: 443 });
    const address = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 1];
    assert.deepEqual(parseSockaddr(sockaddr(10, 80, 8, address)), { address: "fd00::a01", port: 80 });
    assert.equal(parseSockaddr(sockaddr(1, 80, 4, [])), undefined);
  });
});

describe("plainAddress()", () => {
  it("shows an IPv4 address of a dual-stack socket as itself", () => {
    assert.equal(plainAddress("::ffff:192.0.2.1"), "192.0.2.1");
    assert.equal(plainAddress("::1"), "::1");
  });
});

describe("loadOriginalDestinations()", () => {
  it("either works here or says why not, and knows nothing of what is no socket", async () => {
    try {
      const originals = await loadOriginalDestinations("redirect");
      const none = { descriptor: -1, localAddress: "127.0.0.1", localPort: 1 };
      assert.equal(originals.of(none), undefined);
    } catch (error) {
      assert.ok(error instanceof MeshError);
      assert.equal(error.code, "INTERCEPTION");
      assert.match(error.message, /^Cannot intercept connections: .+, or use --intercept none\.$/);
    }
  });
});
