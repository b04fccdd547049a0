-- What every script begins with: the names of the keys, the clock, the rules in force.
--
-- KEYS of every script, all of one queue and so of one slot:
--   1 policy  2 meta  3 waiting  4 active  5 unclaimed  6 tickets  7 ended  8 admitted  9 audit
--   10 present  11 returned  12 parked  13 parked_before  14 idled
-- ARGV[1] of every script says who calls, with spaces between:
--   how far the clock is put forward, in µs: 0 outside tests
--   the gateway, and what it knows of this line: epoch, born, and its last pulse (0: nothing yet)
-- A reply is a list of names and values in turn; each has a 'verdict'.

assert(#KEYS == 14, 'a script takes 14 keys')
local POLICY, META, WAITING, ACTIVE, UNCLAIMED, TICKETS, ENDED, ADMITTED, AUDIT,
  PRESENT, RETURNED, PARKED, PARKED_BEFORE, IDLED = unpack(KEYS)

-- One token of the bucket in its smallest unit. Rates are whole thousandths per second and the
-- clock counts whole µs, so a level is a whole number of these and no fraction is ever lost.
local TOKEN = 1000000000
local SHIFT, GATEWAY, KNOWN_EPOCH, KNOWN_BORN, KNOWN_PULSE =
  string.match(ARGV[1], '^(%-?%d+) (%x+) (%d+) (%d+) (%d+)$')
-- The pulse of a gateway that wrote nothing for so long is forgotten: an hour.
local PULSE_KEPT = 3600000000
-- Bounds the work of one script.
local BATCH = 1000
-- How long it is remembered that a visit brought back from an older life is over: two days.
local ENDED_SECONDS = 172800
-- Rings in which admissions are counted: seconds, of which the last 60 are read, and minutes, of which
-- the last 15 are.
local RING = 64
local MINUTES = 16
-- Changes of policy that are kept.
local AUDIT_ENTRIES = 1000

-- µs since 1970. Below 2^53 until the year 2255, so a double holds it exactly.
local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(SHIFT)
end

-- Lua would write 1764000000123456 as 1.7640000001235e+15.
local function int(number)
  return string.format('%.0f', number)
end

-- Adds names and values to a reply.
local function with(reply, ...)
  for _, it in ipairs({ ... }) do reply[#reply + 1] = it end
  return reply
end

local function score(set, user)
  return tonumber(redis.call('ZSCORE', set, user))
end

-- The ticket of a user inside, and the end of the whole lease where idleness may end it before.
local function inside_of(user)
  local ticket, lease_end = string.match(redis.call('HGET', TICKETS, user) or '', '^(%d+):?(%d*)$')
  return tonumber(ticket), tonumber(lease_end)
end

local function read_policy()
  local field = redis.call('HMGET', POLICY, 'state', 'opens_at_us', 'max_active', 'admit_milli',
    'lease_seconds', 'claim_seconds', 'max_waiting', 'order', 'idle_seconds', 'auto_min_milli',
    'auto_max_milli', 'sold_out')
  if not field[1] then return nil end
  local rate, least, most = tonumber(field[4]), tonumber(field[10]), tonumber(field[11])
  if least then
    -- The rate in force of a queue that finds it, see adapt.lua.
    rate = tonumber(redis.call('HGET', META, 'auto_milli')) or least
    rate = math.min(most, math.max(least, rate))
  end
  return {
    state = field[1],
    opens_at = tonumber(field[2]) or 0,
    max_active = tonumber(field[3]),
    admit_milli = rate,
    is_auto = least ~= nil,
    auto_min = least,
    auto_max = most,
    closes_sold_out = field[12] == 'close',
    lease = tonumber(field[5]) * 1000000,
    claim = tonumber(field[6]) * 1000000,
    max_waiting = tonumber(field[7]),
    order = field[8],
    idle = (tonumber(field[9]) or 0) * 1000000,
  }
end

local function read_meta()
  local field = redis.call('HMGET', META, 'last', 'epoch', 'born', 'recovers_at', 'bucket',
    'bucket_at', 'version', 'removed', 'seed', 'drawn', 'unsorted', 'joined', 'commitment', 'root',
    'key', 'beacon', 'beat', 'pulse:' .. GATEWAY, 'remaining',
    'announced', 'turned')
  return {
    last = tonumber(field[1]) or 0,
    epoch = tonumber(field[2]) or 0,
    born = tonumber(field[3]) or 0,
    recovers_at = tonumber(field[4]) or 0,
    bucket = tonumber(field[5]) or 0,
    bucket_at = tonumber(field[6]) or 0,
    version = tonumber(field[7]) or 0,
    removed = tonumber(field[8]) or 0,
    -- Of the lottery, see draw.lua.
    seed = field[9] or nil,
    drawn = tonumber(field[10]) or 0,
    unsorted = field[11] == '1',
    joined = tonumber(field[12]) or 0,
    commitment = field[13] or nil,
    root = field[14] or nil,
    key = field[15] or nil,
    beacon = field[16] or nil,
    announced = field[20] or nil,
    -- Of what gateways know to be written, see next_beat.
    beat = tonumber(field[17]) or 0,
    pulse = tonumber(field[18]),
    -- What is left to sell, see stock.lua.
    remaining = tonumber(field[19]),
    -- How far the clock went back, see turn_back in admit.lua.
    turned = field[21] or nil,
  }
end

-- The number of a write that its gateway will remember: the gateway's pulse. It is above every pulse and
-- every ticket before it, and tickets after it are above it.
local function next_beat(meta, now)
  meta.beat = math.max(now, meta.last, meta.beat + 1)
  return meta.beat
end

-- Whether Redis knows less of this line than the gateway that asks: a write that it remembers is gone, so
-- Redis came back older than it was, or from a history that was given up; or this is the line of
-- somebody else. What an operator ended is not lost.
local function is_behind(meta, now)
  local epoch, born, pulse = tonumber(KNOWN_EPOCH), tonumber(KNOWN_BORN), tonumber(KNOWN_PULSE)
  if epoch == 0 or meta.removed >= epoch then return false end
  if meta.epoch < epoch or meta.born > born then return true end
  -- In a later life pulses begin anew, and the line is the same, or is known to go on in place of it.
  if meta.epoch > epoch then
    return meta.born ~= born and redis.call('HGET', META, 'in_place_of') ~= KNOWN_BORN
  end
  if meta.pulse then return meta.pulse < pulse end
  return now - pulse < PULSE_KEPT
end

-- Why there is no policy: an operator removed the queue, or Redis does not know it.
local function absence()
  return redis.call('HEXISTS', META, 'removed') == 1 and 'removed' or 'gone'
end

local function is_sold_out(policy, meta)
  return policy.closes_sold_out and meta.remaining == 0
end

-- The state that follows from the policy at this instant. Whatever sells out is closed until there is
-- something again.
local function in_force(policy, meta, now)
  local state = policy.state
  if is_sold_out(policy, meta) then return 'closed' end
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
  -- A clock that went back brings nothing for the time that it repeats.
  local passed = math.max(0, now - meta.bucket_at)
  return math.min(size, meta.bucket + passed * policy.admit_milli)
end

local function keep_bucket(level, now)
  redis.call('HSET', META, 'bucket', int(level), 'bucket_at', int(now))
end

local function active_now(now)
  return redis.call('ZCOUNT', ACTIVE, '(' .. int(now), '+inf')
end

-- Counts who was let in, by how many the line got shorter at its head (also by the absent), and
-- places inside that were given back: by second and by minute.
local function count(admitted, passed, freed, now)
  local second = math.floor(now / 1000000)
  local minute = math.floor(second / 60)
  local slots = { int(second % RING), 'm' .. int(minute % MINUTES) }
  local kept = redis.call('HMGET', ADMITTED, slots[1], slots[2])
  local entry = {}
  for i, of in ipairs({ second, minute }) do
    local at, first, a, p, f = string.match(kept[i] or '', '^m?(%d+):(%d+):(%d+):(%d+):(%d+)$')
    if tonumber(at) ~= of then first, a, p, f = second, 0, 0, 0 end
    entry[i] = table.concat({ int(of), int(first), int(a + admitted), int(p + passed),
      int(f + freed) }, ':')
  end
  redis.call('HSET', ADMITTED, slots[1], entry[1], slots[2], 'm' .. entry[2])
end

-- What the last minute and the last quarter of an hour brought: each admitted, passed, freed, and
-- seconds since the first of them; freed also by pieces of ten seconds and of a minute, the newest first.
local function last_minutes(now)
  local second = math.floor(now / 1000000)
  local function nothing()
    return { admitted = 0, passed = 0, freed = 0, first = second, freed_by = {} }
  end
  local short, long = nothing(), nothing()
  for _, kept in ipairs(redis.call('HVALS', ADMITTED)) do
    local m, at, first, a, p, f = string.match(kept, '^(m?)(%d+):(%d+):(%d+):(%d+):(%d+)$')
    local sum, oldest, newest, piece = short, second - 59, second, 10
    if m == 'm' then
      newest = math.floor(second / 60)
      sum, oldest, piece = long, newest - MINUTES + 2, 1
    end
    at = tonumber(at)
    -- Older gateways counted admissions only, in another form: what they counted is not known here.
    if at and at >= oldest and at <= newest then
      sum.admitted, sum.passed, sum.freed = sum.admitted + a, sum.passed + p, sum.freed + f
      sum.first = math.min(sum.first, tonumber(first))
      local at_piece = math.floor((newest - at) / piece) + 1
      sum.freed_by[at_piece] = (sum.freed_by[at_piece] or 0) + f
    end
  end
  short.seconds, long.seconds = second - short.first + 1, second - long.first + 1
  return short, long
end

-- Replaces the policy: ARGV[first] is all of it as JSON, fields and values for scripts follow.
local function write_policy(first, version)
  redis.call('DEL', POLICY)
  redis.call('HSET', POLICY, 'json', unpack(ARGV, first))
  redis.call('HSET', META, 'version', int(version))
end

-- Notes who changed what; by, before and after are JSON already.
local function note(version, now, by, before, after)
  local entry = '{"version":%s,"atUs":%s,"by":%s,"before":%s,"after":%s}'
  redis.call('LPUSH', AUDIT, string.format(entry, int(version), int(now), by, before, after))
  redis.call('LTRIM', AUDIT, 0, AUDIT_ENTRIES - 1)
end

-- Notes what followed from the rules without a change of them; `what` is JSON too.
local function note_by_itself(version, now, by, rule, what)
  note(version, now, by, rule, rule .. ',"effect":' .. what)
end

