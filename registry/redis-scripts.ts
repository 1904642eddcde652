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
      redis.call('ZADD', KEYS[5], 0, key)
    else
      redis.call('XADD', KEYS[2], 'MAXLEN', '~', maxEntries, revision, 'p', previous, 'b', total, 'k', key)
      redis.call('HDEL', KEYS[1], key)
      redis.call('ZREM', KEYS[5], key)
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

/**
 * A token is at least Redis's time in µs, so it rises even when the counter was lost. The last argument is from whom the
 * lease may be taken away; no holder's name is empty.
 */
const ACQUIRE = `
local held = redis.call('GET', KEYS[1])
if held then
  local token, holder = string.match(held, '^(%d+) (.*)$')
  if holder == ARGV[2] then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return token
  end
  if ARGV[4] ~= '*' and ARGV[4] ~= holder then return false end
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

/** Of the leases of single things nothing stays: there would be ever more. */
const RELEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if string.find(ARGV[2], '/', 1, true) then redis.call('HDEL', KEYS[2], 'token:' .. ARGV[2]) end
return redis.call('DEL', KEYS[1])
`;

/**
 * A chunk of the entries under a prefix, in the order of their keys, so that a reader can go on anywhere: on a replica
 * that was promoted meanwhile or on the node that a slot went to, where a cursor of HSCAN would mean nothing.
 */
const READ = `
local tip = redis.call('HGET', KEYS[3], 'revision') or '0-0'
local from = ARGV[2] == '' and '[' .. ARGV[1] or '(' .. ARGV[2]
local keys = redis.call('ZRANGEBYLEX', KEYS[2], from, '(' .. ARGV[1] .. '\\255', 'LIMIT', 0, ARGV[3])
local reply, bytes, last = { tip, '' }, 0, ''
for i, key in ipairs(keys) do
  local stored = redis.call('HGET', KEYS[1], key)
  last = key
  if stored then
    reply[#reply + 1] = key
    reply[#reply + 1] = stored
    bytes = bytes + #stored
  end
  if bytes > tonumber(ARGV[4]) then break end
end
if last ~= '' and (#keys == tonumber(ARGV[3]) or last ~= keys[#keys]) then reply[2] = last end
return reply
`;

/** Tokens and leases stay. Without a revision every reader sees that what it knew is gone. */
const CLEAR = `
redis.call('DEL', KEYS[1], KEYS[2], KEYS[4])
redis.call('HDEL', KEYS[3], 'revision', 'bytes')
return 'OK'
`;

/** The commands that the store sends, scripts among them. */
export interface RegistryCommands {
  hget(key: string, field: string): Promise<string | null>;
  hgetall(key: string): Promise<Record<string, string>>;
  hlen(key: string): Promise<number>;
  zcard(key: string): Promise<number>;
  xlen(key: string): Promise<number>;
  get(key: string): Promise<string | null>;
  pttl(key: string): Promise<number>;
  info(): Promise<string>;
  xrange(key: string, from: string, to: string, count: "COUNT", max: number): Promise<[id: string, fields: string[]][]>;
  xread(
    count: "COUNT",
    max: number,
    block: "BLOCK",
    ms: number,
    streams: "STREAMS",
    key: string,
    after: string,
  ): Promise<[key: string, entries: [id: string, fields: string[]][]][] | null>;
  /** Arguments: `<token> <holder>`, entries and bytes of stream to keep, then key, "1" (set) or "0" (delete), value. */
  meshWrite(
    data: string,
    changes: string,
    meta: string,
    lease: string,
    index: string,
    ...args: string[]
  ): Promise<string>;
  /** The revision, where to go on ("" at the end), then keys and what is stored under them. */
  meshRead(
    data: string,
    index: string,
    meta: string,
    prefix: string,
    after: string,
    maxEntries: string,
    maxBytes: string,
  ): Promise<[revision: string, last: string, ...pairs: string[]]>;
  meshAcquire(
    leaseKey: string,
    meta: string,
    lease: string,
    holder: string,
    ttlMs: string,
    from: string,
  ): Promise<string | null>;
  meshRenew(leaseKey: string, fence: string, ttlMs: string): Promise<number>;
  meshRelease(leaseKey: string, meta: string, fence: string, lease: string): Promise<number>;
  meshClear(data: string, changes: string, meta: string, index: string): Promise<string>;
}

/** By the name of their command. All keys of a cluster have one hash tag, so any of them may go into one script. */
export const SCRIPTS = {
  meshWrite: { numberOfKeys: 5, lua: WRITE },
  meshRead: { numberOfKeys: 3, lua: READ },
  meshAcquire: { numberOfKeys: 2, lua: ACQUIRE },
  meshRenew: { numberOfKeys: 1, lua: RENEW },
  meshRelease: { numberOfKeys: 2, lua: RELEASE },
  meshClear: { numberOfKeys: 4, lua: CLEAR },
} as const;
