import assert from "node:assert/strict";
import http2 from "node:http2";
import fc from "fast-check";
import { FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR, writeSettings } from "./frames.ts";
import * as settings from "./settings.ts";

function apply(pairs: readonly number[], fromServer = false, into = settings.defaultSettings()) {
  const out = Buffer.alloc(9 + pairs.length * 3);
  const end = writeSettings(out, 0, pairs);
  return { code: settings.applySettings(into, out, 9, end, fromServer), into };
}

describe("applySettings()", () => {
  it("takes every setting, the last of a repeated one, and ignores unknown ones", () => {
    const { code, into } = apply([
      settings.SETTINGS_HEADER_TABLE_SIZE,
      100_000,
      settings.SETTINGS_ENABLE_PUSH,
      0,
      settings.SETTINGS_MAX_CONCURRENT_STREAMS,
      7,
      settings.SETTINGS_INITIAL_WINDOW_SIZE,
      1,
      settings.SETTINGS_INITIAL_WINDOW_SIZE,
      0x7fff_ffff,
      settings.SETTINGS_MAX_FRAME_SIZE,
      0xff_ffff,
      settings.SETTINGS_MAX_HEADER_LIST_SIZE,
      0xffff_ffff,
      settings.SETTINGS_ENABLE_CONNECT_PROTOCOL,
      1,
      0x0a0a,
      0xffff_ffff,
    ]);
    assert.equal(code, NO_ERROR);
    assert.deepEqual(into, {
      headerTableBytes: 100_000,
      enablePush: false,
      maxStreams: 7,
      initialWindowBytes: 0x7fff_ffff,
      maxFrameBytes: 0xff_ffff,
      maxHeaderListBytes: 0xffff_ffff,
      enableConnect: true,
    });
  });

  const refused: readonly [what: string, id: number, value: number, fromServer: boolean, code: number][] = [
    ["ENABLE_PUSH of 2", settings.SETTINGS_ENABLE_PUSH, 2, false, PROTOCOL_ERROR],
    ["ENABLE_PUSH of 1 from a server", settings.SETTINGS_ENABLE_PUSH, 1, true, PROTOCOL_ERROR],
    ["INITIAL_WINDOW_SIZE of 2^31", settings.SETTINGS_INITIAL_WINDOW_SIZE, 2 ** 31, false, FLOW_CONTROL_ERROR],
    ["MAX_FRAME_SIZE of 16,383", settings.SETTINGS_MAX_FRAME_SIZE, 16_383, false, PROTOCOL_ERROR],
    ["MAX_FRAME_SIZE of 2^24", settings.SETTINGS_MAX_FRAME_SIZE, 2 ** 24, false, PROTOCOL_ERROR],
    ["ENABLE_CONNECT_PROTOCOL of 2", settings.SETTINGS_ENABLE_CONNECT_PROTOCOL, 2, true, PROTOCOL_ERROR],
  ];
  for (const [what, id, value, fromServer, code] of refused) {
    it(`refuses ${what}`, () => assert.equal(apply([id, value], fromServer).code, code));
  }

  it("refuses to forbid extended CONNECT once it was allowed", () => {
    const { into } = apply([settings.SETTINGS_ENABLE_CONNECT_PROTOCOL, 1], true);
    assert.equal(apply([settings.SETTINGS_ENABLE_CONNECT_PROTOCOL, 0], true, into).code, PROTOCOL_ERROR);
  });

  it("reads what node:http2 packs", () => {
    const packed = http2.getPackedSettings({ headerTableSize: 1, initialWindowSize: 2, maxFrameSize: 20_000 });
    const into = settings.defaultSettings();
    assert.equal(settings.applySettings(into, packed, 0, packed.length, false), NO_ERROR);
    assert.deepEqual([into.headerTableBytes, into.initialWindowBytes, into.maxFrameBytes], [1, 2, 20_000]);
  });

  it("keeps every value in its range whatever comes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), (octets, fromServer) => {
        const into = settings.defaultSettings();
        settings.applySettings(into, octets, 0, octets.length, fromServer);
        assert.ok(into.initialWindowBytes <= 0x7fff_ffff);
        assert.ok(into.maxFrameBytes >= 16_384 && into.maxFrameBytes < 2 ** 24);
      }),
    );
  });
});
