import {
  DEFAULT_MAX_FRAME_BYTES,
  FLOW_CONTROL_ERROR,
  MAX_WINDOW_BYTES,
  NO_ERROR,
  PROTOCOL_ERROR,
  readUint32,
} from "./frames.ts";

export const SETTINGS_HEADER_TABLE_SIZE = 1;
export const SETTINGS_ENABLE_PUSH = 2;
export const SETTINGS_MAX_CONCURRENT_STREAMS = 3;
export const SETTINGS_INITIAL_WINDOW_SIZE = 4;
export const SETTINGS_MAX_FRAME_SIZE = 5;
export const SETTINGS_MAX_HEADER_LIST_SIZE = 6;
/** RFC 8441 section 3. */
export const SETTINGS_ENABLE_CONNECT_PROTOCOL = 8;

const MAX_FRAME_BYTES = 0xff_ffff;
const UNLIMITED = 0xffff_ffff;

/** What a peer has asked for so far (RFC 9113 section 6.5.2). */
export interface PeerSettings {
  headerTableBytes: number;
  enablePush: boolean;
  maxStreams: number;
  initialWindowBytes: number;
  maxFrameBytes: number;
  maxHeaderListBytes: number;
  enableConnect: boolean;
}

/** What holds before a peer's first SETTINGS. */
export function defaultSettings(): PeerSettings {
  return {
    headerTableBytes: 4096,
    enablePush: true,
    maxStreams: UNLIMITED,
    initialWindowBytes: 65_535,
    maxFrameBytes: DEFAULT_MAX_FRAME_BYTES,
    maxHeaderListBytes: UNLIMITED,
    enableConnect: false,
  };
}

/**
 * Takes the payload `b[start, end)` of a SETTINGS frame, whose length has passed `checkFrame`. Returns NO_ERROR or
 * the code of the connection error (section 6.5.2). Settings that are not known are ignored.
 */
export function applySettings(
  settings: PeerSettings,
  b: Uint8Array,
  start: number,
  end: number,
  fromServer: boolean,
): number {
  for (let at = start; at + 6 <= end; at += 6) {
    const value = readUint32(b, at + 2);
    switch (((b[at] as number) << 8) | (b[at + 1] as number)) {
      case SETTINGS_HEADER_TABLE_SIZE:
        settings.headerTableBytes = value;
        break;
      case SETTINGS_ENABLE_PUSH:
        if (value > 1 || (value === 1 && fromServer)) return PROTOCOL_ERROR;
        settings.enablePush = value === 1;
        break;
      case SETTINGS_MAX_CONCURRENT_STREAMS:
        settings.maxStreams = value;
        break;
      case SETTINGS_INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW_BYTES) return FLOW_CONTROL_ERROR;
        settings.initialWindowBytes = value;
        break;
      case SETTINGS_MAX_FRAME_SIZE:
        if (value < DEFAULT_MAX_FRAME_BYTES || value > MAX_FRAME_BYTES) return PROTOCOL_ERROR;
        settings.maxFrameBytes = value;
        break;
      case SETTINGS_MAX_HEADER_LIST_SIZE:
        settings.maxHeaderListBytes = value;
        break;
      case SETTINGS_ENABLE_CONNECT_PROTOCOL:
        // Once allowed, it stays so (RFC 8441 section 3).
        if (value > 1 || (value === 0 && settings.enableConnect)) return PROTOCOL_ERROR;
        settings.enableConnect = value === 1;
        break;
    }
  }
  return NO_ERROR;
}
