-- What every script begins with: the names of the keys, the clock, the rules in force.
--
-- KEYS of every script, all of one queue and so of one slot:
--   1 policy  2 meta  3 waiting  4 active  5 unclaimed  6 tickets  7 ended  8 admitted  9 audit
-- ARGV[1] of every script is how far the clock is put forward, in µs: 0 outside tests.

assert(#KEYS == 9, 'a script takes 9 keys')
local POLICY, META, WAITING, ACTIVE, UNCLAIMED, TICKETS, ENDED, ADMITTED, AUDIT = unpack(KEYS)

-- One token of the bucket in its smallest unit. Rates are whole thousandths per second and the
-- clock counts whole µs, so a level is a whole number of these and no fraction is ever lost.
local TOKEN = 1000000000
-- Bounds the work of one script.
local BATCH = 1000
-- How long it is remembered that a visit brought back from an older life is over: two days.
local ENDED_SECONDS = 172800
-- Seconds of the ring in which admissions are counted; the last 60 are read.
local RING = 64
-- Changes of policy that are kept.
local AUDIT_ENTRIES = 1000

-- µs since 1970. Below 2^53 until the year 2255, so a double holds it exactly.
local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1])
end

-- Lua would write 1764000000123456 as 1.7640000001235e+15.
local function int(number)
  return string.format('%.0f', number)
end

local function score(set, user)
  return tonumber(redis.call('ZSCORE', set, user))
end

local function ticket_inside(user)
  return tonumber(redis.call('HGET', TICKETS, user))
end

local function read_policy()
  local field = redis.call('HMGET', POLICY, 'state', 'opens_at_us', 'max_active', 'admit_milli',
    'lease_seconds', 'claim_seconds', 'max_waiting')
  if not field[1] then return nil end
  return {
    state = field[1],
    opens_at = tonumber(field[2]) or 0,
    max_active = tonumber(field[3]),
    admit_milli = tonumber(field[4]),
    lease = tonumber(field[5]) * 1000000,
    claim = tonumber(field[6]) * 1000000,
    max_waiting = tonumber(field[7]),
  }
end

local function read_meta()
  local field = redis.call('HMGET', META, 'last', 'epoch', 'born', 'recovers_at', 'bucket',
    'bucket_at', 'version', 'removed')
  return {
    last = tonumber(field[1]) or 0,
    epoch = tonumber(field[2]) or 0,
    born = tonumber(field[3]) or 0,
    recovers_at = tonumber(field[4]) or 0,
    bucket = tonumber(field[5]) or 0,
    bucket_at = tonumber(field[6]) or 0,
    version = tonumber(field[7]) or 0,
    removed = tonumber(field[8]) or 0,
  }
end

-- Why there is no policy: an operator removed the queue, or Redis does not know it.
local function absence()
  return redis.call('HEXISTS', META, 'removed') == 1 and 'removed' or 'gone'
end

-- The state that follows from the policy at this instant.
local function in_force(policy, meta, now)
  local state = policy.state
  if state == 'scheduled' then
    if now < policy.opens_at then return 'scheduled' end
    state = 'open'
  end
  if state == 'open' and now < meta.recovers_at then return 'paused' end
  return state
end

-- What the token bucket holds. Its size is what one second brings, and at least one token, so
-- that in any w seconds at most rate * (w + 1) enter.
local function bucket_level(policy, meta, now)
  local size = math.max(policy.admit_milli * 1000000, TOKEN)
  if meta.bucket_at == 0 then return size end
  local passed = math.max(0, now - meta.bucket_at)
  return math.min(size, meta.bucket + passed * policy.admit_milli)
end

local function keep_bucket(level, now)
  redis.call('HSET', META, 'bucket', int(level), 'bucket_at', int(now))
end

local function active_now(now)
  return redis.call('ZCOUNT', ACTIVE, '(' .. int(now), '+inf')
end

local function count_admitted(count, now)
  local second = math.floor(now / 1000000)
  local slot = int(second % RING)
  local kept = redis.call('HGET', ADMITTED, slot)
  local of, before = string.match(kept or '', '^(%d+):(%d+)$')
  if tonumber(of) ~= second then before = 0 end
  redis.call('HSET', ADMITTED, slot, int(second) .. ':' .. int(before + count))
  redis.call('HINCRBY', META, 'admitted', count)
end

-- A visitor shows up: once, the claim lease becomes the full lease. Returns the lease end.
local function claim(user, lease_end, policy, now)
  if redis.call('SREM', UNCLAIMED, user) == 1 then
    lease_end = now + policy.lease
    redis.call('ZADD', ACTIVE, 'XX', int(lease_end), user)
  end
  return lease_end
end

-- A ticket older than this life of the queue was brought back by its token; once the visit is
-- over the token must not bring it back again.
local function forget_ticket(ticket, meta)
  if ticket and ticket < meta.epoch then
    redis.call('SADD', ENDED, int(ticket))
    redis.call('EXPIRE', ENDED, ENDED_SECONDS)
  end
end

-- Ends the visit of a user who is inside. Returns 1 for one who never showed up.
local function end_visit(user, meta)
  forget_ticket(ticket_inside(user), meta)
  redis.call('ZREM', ACTIVE, user)
  redis.call('HDEL', TICKETS, user)
  return redis.call('SREM', UNCLAIMED, user)
end

-- Whether Redis lost this visit: its token is from an older life of the same queue, or its ticket
-- was never given out as far as Redis remembers. A user who has another place lost nothing.
local function is_lost(user, ticket, epoch, meta, now)
  if epoch < meta.born or score(WAITING, user) then return false end
  local lease_end = score(ACTIVE, user)
  if lease_end and lease_end > now then return false end
  if redis.call('SISMEMBER', ENDED, int(ticket)) == 1 then return false end
  return epoch < meta.epoch or ticket > meta.last
end

-- Replaces the policy by the fields and values from ARGV[first] on.
local function write_policy(first, version)
  redis.call('DEL', POLICY)
  redis.call('HSET', POLICY, unpack(ARGV, first))
  redis.call('HSET', META, 'version', int(version))
end

-- Notes who changed what; by, before and after are JSON already.
local function note(version, now, by, before, after)
  local entry = '{"version":%s,"atUs":%s,"by":%s,"before":%s,"after":%s}'
  redis.call('LPUSH', AUDIT, string.format(entry, int(version), int(now), by, before, after))
  redis.call('LTRIM', AUDIT, 0, AUDIT_ENTRIES - 1)
end

