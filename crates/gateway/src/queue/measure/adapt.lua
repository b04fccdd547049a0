-- adapt: finds the rate of a queue whose admitPerSecond is "auto". Adds what one gateway measured since
-- its last call; the first call of each second moves the rate by one step, however many gateways call.
--
-- ARGV: 2 requests that were begun  3 answered  4 of these slower than the target  5 of these failed
-- Returns verdict 'gone' | 'removed' | 'fixed', or 'added' | 'held' | 'up' | 'down' and
--   rate_milli, reason (why the rate is what it is)
--
-- The rate grows by a sixth each second until the service first falls behind, and then by a hundredth
-- or two of where that was. It falls to four fifths of what the service answered well while it was busy,
-- by half at most. A step waits until what was changed can be seen: with visits that stay long all of
-- this is slower.

assert(#ARGV == 5, 'adapt takes 5 arguments')
-- Of a step's answers, so many may be slow, and so many failed.
local SLOW, FAILED = 0.05, 0.01
-- So many answers are judged, or those of so many seconds, if there were fewer.
local ENOUGH, SECONDS = 20, 10
-- What a busy service answered well is seen over so many seconds; what a visitor asks for over so many,
-- which begin so many after the visitors were let in: they learn it by their next poll.
local BUSY, ASKED, LATER = 5, 6, 2
-- Longest pause after a step down, and shortest, in seconds.
local PAUSE_MOST, PAUSE_LEAST = 30, 3
-- Visits that stay longer than this, in seconds, slow the growth.
local QUICK = 4
-- A change of the rate by so much is recorded, once in so many seconds.
local NEWS, NEWS_EVERY = 0.2, 60

local policy = read_policy()
if not policy then return { 'verdict', absence() } end
if not policy.is_auto then return { 'verdict', 'fixed' } end
local meta, now = read_meta(), now_us()
local second, rate = math.floor(now / 1000000), policy.admit_milli
local field = redis.call('HMGET', META, 'auto_sums', 'auto_at', 'auto_down_at', 'auto_ceiling',
  'auto_told_at', 'auto_told')
local stepped_at, down_at, ceiling = tonumber(field[2]), tonumber(field[3]) or 0, tonumber(field[4])
local told_at, told = tonumber(field[5]) or 0, tonumber(field[6]) or rate

-- What was measured, by the second in which it was told here.
local sums = {}
for at, b, a, s, f, r in string.gmatch(field[1] or '', '(%d+):(%d+):(%d+):(%d+):(%d+):(%d+)') do
  at = tonumber(at)
  if at > second - SECONDS and at <= second then
    sums[at] = { tonumber(b), tonumber(a), tonumber(s), tonumber(f), tonumber(r) }
  end
end
-- The last is the rate by which visitors were let in.
sums[second] = sums[second] or { 0, 0, 0, 0, int(rate) }
for i = 1, 4 do sums[second][i] = sums[second][i] + tonumber(ARGV[i + 1]) end
local packed = {}
for at, sum in pairs(sums) do packed[#packed + 1] = int(at) .. ':' .. table.concat(sum, ':') end
redis.call('HSET', META, 'auto_sums', table.concat(packed, ','))
if stepped_at == second then return { 'verdict', 'added', 'rate_milli', rate, 'reason', '' } end

-- The sum of seconds back from now, as long as `goes_on` says so.
local function add_up(goes_on)
  local all = { 0, 0, 0, 0, 0 }
  for at = second, second - SECONDS + 1, -1 do
    if not goes_on(at, all) then break end
    for i, it in ipairs(sums[at] or {}) do all[i] = all[i] + it end
  end
  return unpack(all)
end

-- How many visitors a second the service bears: what it answered well in a second in which it was busy,
-- by what a visitor asks for.
local function bearable()
  local asked, let, good, busy = 0, 0, 0, 0
  for at = second - ASKED + 1, second do
    local sum, before = sums[at] or { 0, 0, 0, 0, 0 }, sums[at - LATER] or { 0, 0, 0, 0, 0 }
    asked, let = asked + sum[1], let + before[5]
    if at > second - BUSY and sum[3] + sum[4] > 0 then
      good, busy = good + sum[2] - sum[4], busy + 1
    end
  end
  if asked == 0 or let == 0 then return rate end
  return good / math.max(1, busy) * let / asked
end

local inside, minute = active_now(now), last_minutes(now)
-- How long visits stay, by Little's law.
local stay = minute.admitted > 0 and inside * minute.seconds / minute.admitted or 0
local pause = math.min(PAUSE_MOST, math.max(PAUSE_LEAST, math.floor(stay)))
local pace = math.min(1, QUICK / math.max(stay, 1))
local waiting = redis.call('ZCARD', WAITING) + redis.call('ZCARD', RETURNED)
local is_limit = waiting > 0 and inside < policy.max_active and in_force(policy, meta, now) == 'open'

-- The rate and why, by what is measured since the last step down could be seen.
local function judged()
  if second < down_at + pause then return rate, 'settling' end
  local _, answered, slow, failed = add_up(function(at, all)
    return at >= down_at + pause and (at == second or all[2] < ENOUGH)
  end)
  local is_failing = failed >= 2 and failed > FAILED * answered
  local is_slow = slow >= 2 and slow > SLOW * answered
  if is_failing or is_slow then
    local borne = bearable()
    -- It answers more than enters, so it catches up.
    if not is_failing and rate <= 0.95 * borne then return rate, 'draining' end
    ceiling, down_at = math.min(rate, math.max(borne, rate * 0.5)), second
    local less = math.max(rate * 0.5, math.min(rate * 0.85, borne * 0.8))
    return less, is_failing and 'failing' or 'slow'
  end
  if not is_limit then return rate, 'unused' end
  if answered == 0 then return rate, 'unmeasured' end
  if not ceiling then return rate * (1 + 0.18 * pace), 'starting' end
  if rate < 0.9 * ceiling then return rate + math.max(1, 0.04 * ceiling * pace), 'growing' end
  if rate < 1.2 * ceiling then return rate + math.max(1, 0.01 * ceiling * pace), 'growing' end
  -- The service bears more than it did.
  return rate * (1 + 0.05 * pace), 'seeking'
end

local wanted, reason = judged()
wanted = math.floor(math.min(policy.auto_max, math.max(policy.auto_min, wanted)))
if wanted == rate and rate == policy.auto_max and reason ~= 'unused' then reason = 'most' end
if wanted ~= rate then
  -- What has run up so far is worth what the old rate says.
  keep_bucket(bucket_level(policy, meta, now), now)
end
redis.call('HSET', META, 'auto_milli', int(wanted), 'auto_reason', reason, 'auto_at', int(second),
  'auto_down_at', int(down_at))
if ceiling then redis.call('HSET', META, 'auto_ceiling', int(math.max(1, ceiling))) end
-- Told with the step that goes the same way, so that its reason is the one.
local is_news = math.abs(wanted - told) > NEWS * told and (wanted - told) * (wanted - rate) > 0
if is_news and second >= told_at + NEWS_EVERY then
  redis.call('HSET', META, 'auto_told_at', int(second), 'auto_told', int(wanted))
  local rule = redis.call('HGET', POLICY, 'json')
  note_by_itself(meta.version, now, '"auto"', rule,
    string.format('{"from":%.3f,"to":%.3f,"reason":"%s"}', told / 1000, wanted / 1000, reason))
end
local verdict = wanted > rate and 'up' or wanted < rate and 'down' or 'held'
return { 'verdict', verdict, 'rate_milli', wanted, 'reason', reason }
