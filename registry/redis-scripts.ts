import type { Redis } from "ioredis";

/**
 * Revisions are stream ids `<ms>-<n>`: Redis's time, and a count within it, never going back. So they rise across
 * loss of all data and across a promoted replica, and one that was lost with its master is never made again.
 */
const WRITE = `
if redis.call('GET', KEYS[4]) ~= ARGV[1] then
  return redis.error_reply('FENCED the lease is not held under this token')
end
local meta = redis.call('HMGET', KEYS[3], 'revision', 'bytes')
local previous = meta[1] or '0-0'
local bytes = tonumber(meta[2] or '0')
local lastMs, lastN = string.match(previous, '^(%d+)-(%d+)$')
local time = redis.call('TIME')
local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local n = -1
if ms <= tonumber(lastMs) then
  ms = tonumber(lastMs)
  n = tonumber(lastN)
end
local maxEntries, maxBytes = ARGV[2], tonumber(ARGV[3])
local changed = false
for i = 4, #ARGV, 3 do
  local key, set, value = ARGV[i], ARGV[i + 1] == '1', ARGV[i + 2]
  local stored = redis.call('HGET', KEYS[1], key)
  local same
  if set then
    same = stored and string.sub(stored, string.find(stored, ' ', 1, true) + 1) == value
  else
    same = not stored
  end
  if not same then
    n = n + 1
    if n > 2097151 then
      ms = ms + 1
      n = 0
    end
    local revision = string.format('%.0f-%d', ms, n)
    bytes = bytes + #key + #value
    local total = string.format('%.0f', bytes)
    -- The stream first: data without its change would be missed for ever, a change without data is read again.
    if set then
      redis.call('XADD', KEYS[2], 'MAXLEN', '~', maxEntries, revision, 'p', previous, 'b', total, 'k', key, 'v', value)
      redis.call('HSET', KEYS[1], key, revision .. ' ' .. value)
    else
      redis.call('XADD', KEYS[2], 'MAXLEN', '~', maxEntries, revision, 'p', previous, 'b', total, 'k', key)
      redis.call('HDEL', KEYS[1], key)
    end
    previous = revision
    changed = true
  end
end
if changed then
  redis.call('HSET', KEYS[3], 'revision', previous, 'bytes', string.format('%.0f', bytes))
  for _ = 1, 200 do
    local length = redis.call('XLEN', KEYS[2])
    local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
    if length <= 1 or bytes - tonumber(first[2][4]) <= maxBytes then break end
    redis.call('XTRIM', KEYS[2], 'MAXLEN', '=', length - math.max(1, math.floor(length / 16)))
  end
end
return previous
`;

/** A token is at least Redis's time in µs, so it rises even when the counter was lost. */
const ACQUIRE = `
local held = redis.call('GET', KEYS[1])
if held then
  local token, holder = string.match(held, '^(%d+) (.*)$')
  if holder ~= ARGV[2] then return false end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return token
end
local time = redis.call('TIME')
local last = tonumber(redis.call('HGET', KEYS[2], 'token:' .. ARGV[1]) or '0')
local token = string.format('%.0f', math.max(last + 1, tonumber(time[1]) * 1000000 + tonumber(time[2])))
redis.call('HSET', KEYS[2], 'token:' .. ARGV[1], token)
redis.call('SET', KEYS[1], token .. ' ' .. ARGV[2], 'PX', ARGV[3])
return token
`;

const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`;

const RELEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`;

/** A connection on which the scripts are defined. */
export interface ScriptedRedis extends Redis {
  /** Arguments: `<token> <holder>`, entries and bytes of stream to keep, then key, "1" (set) or "0" (delete), value. */
  meshWrite(data: string, changes: string, meta: string, lease: string, ...args: string[]): Promise<string>;
  meshAcquire(leaseKey: string, meta: string, lease: string, holder: string, ttlMs: string): Promise<string | null>;
  meshRenew(leaseKey: string, fence: string, ttlMs: string): Promise<number>;
  meshRelease(leaseKey: string, fence: string): Promise<number>;
}

/** Defines the scripts on `redis`. */
export function withScripts(redis: Redis): ScriptedRedis {
  redis.defineCommand("meshWrite", { numberOfKeys: 4, lua: WRITE });
  redis.defineCommand("meshAcquire", { numberOfKeys: 2, lua: ACQUIRE });
  redis.defineCommand("meshRenew", { numberOfKeys: 1, lua: RENEW });
  redis.defineCommand("meshRelease", { numberOfKeys: 1, lua: RELEASE });
  return redis as ScriptedRedis;
}
