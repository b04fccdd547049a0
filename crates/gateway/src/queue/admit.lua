-- admit: drops leases that ended and lets in as many as may enter, in the order of places.
--
-- ARGV: 2 user whose standing is asked for (they show up by it), or ''
-- Returns verdict: 'gone' | 'removed', or 'done' and
--   now_us, ended, no_shows
--   more = 1 when the batch was too small for what is to be done
--   entered: a list of user, ticket, user, ticket, ...
--   parked: how many were passed by because they are absent; their place is kept
--   asking: a reply of its own, verdict 'waiting' (ahead) | 'active' (until_us) | 'none'

assert(#ARGV == 2, 'admit takes 2 arguments')
local asking = ARGV[2]
-- With a longer time between two runs nobody could say that they are there, so nobody is absent.
local STEADY = 5000000
-- A place is kept so long at least after its turn, and twice as long at most.
local KEPT = 1800000000

local policy = read_policy()
if not policy then return { 'verdict', absence() } end
local meta = read_meta()
local now = now_us()

local over = redis.call('ZRANGEBYSCORE', ACTIVE, '-inf', int(now), 'LIMIT', 0, BATCH)
local no_shows = 0
for _, user in ipairs(over) do no_shows = no_shows + end_visit(user, meta) end
if no_shows > 0 then redis.call('HINCRBY', META, 'no_shows', no_shows) end

-- Lets go of what nobody asks for any more.
local function tidy(kept_since)
  redis.call('ZREMRANGEBYSCORE', PRESENT, '-inf', '(' .. int(now))
  if kept_since and now - kept_since < KEPT then return end
  redis.call('HSET', META, 'kept_since', int(now))
  redis.call('UNLINK', PARKED_BEFORE)
  if redis.call('EXISTS', PARKED) == 1 then redis.call('RENAME', PARKED, PARKED_BEFORE) end
end

-- The key up to which visitors have been near for half a silence, so that those of them who are
-- there have been recorded. Nobody beyond it is absent.
local function call_near()
  local field = redis.call('HMGET', META, 'ran_at', 'called', 'calling', 'calling_at', 'kept_since',
    'admitted', 'highest', 'inversions')
  for i = 1, 8 do field[i] = tonumber(field[i]) end
  meta.admitted, meta.highest, meta.inversions = field[6] or 0, field[7] or 0, field[8] or 0
  local ran_at, called, calling, calling_at = unpack(field, 1, 4)
  tidy(field[5])
  redis.call('HSET', META, 'ran_at', int(now))
  local is_steady = ran_at and now - ran_at <= STEADY
  if is_undrawn(policy, meta, now) or not is_steady then
    redis.call('HDEL', META, 'called', 'calling', 'calling_at')
    called, calling, calling_at = nil, nil, nil
    if is_undrawn(policy, meta, now) then return nil end
  end
  if calling_at and now - calling_at < silence(policy) / 2 then return called end
  local depth = near_depth(policy, last_minutes(now).admitted, now)
  local edge = redis.call('ZRANGE', WAITING, depth - 1, depth - 1, 'WITHSCORES')
  if #edge == 0 then edge = redis.call('ZRANGE', WAITING, -1, -1, 'WITHSCORES') end
  if #edge == 0 then
    redis.call('HDEL', META, 'called', 'calling', 'calling_at')
    return nil
  end
  local key = tonumber(edge[2])
  if calling then
    called = math.min(calling, key)
    redis.call('HSET', META, 'called', int(called))
  end
  redis.call('HSET', META, 'calling', int(key), 'calling_at', int(now))
  return called
end

-- The head of a lane, read piece by piece; what is taken is counted and removed at the end.
local function head_of(lane)
  return { lane = lane, taken = 0, at = 1, users = {}, keys = {}, present = {}, is_all = false }
end

-- The key of the next in a lane, or nil.
local function peek(head, piece)
  if head.at > #head.users and not head.is_all then
    local first = head.taken
    local read = redis.call('ZRANGE', head.lane, first, first + piece - 1, 'WITHSCORES')
    head.at, head.users, head.keys, head.is_all = 1, {}, {}, #read < 2 * piece
    for i = 1, #read, 2 do
      head.users[#head.users + 1] = read[i]
      head.keys[#head.keys + 1] = tonumber(read[i + 1])
    end
    if #read > 0 then head.present = redis.call('ZMSCORE', PRESENT, unpack(head.users)) end
  end
  return head.keys[head.at]
end

-- Observes the order in which visitors enter from the line: an inversion is one whose ticket is lower
-- than one that entered from it before. Left out are those who came back to their turn (they enter
-- from the other lane), those who have a lot, and tickets of an older life, which were brought back.
local function observe(key)
  if key < meta.epoch then return end
  if key < meta.highest then meta.inversions = meta.inversions + 1 end
  meta.highest = math.max(meta.highest, key)
end

-- Goes along both lanes in the order of keys until the places are filled or the batch is full.
-- Returns those who enter as users, keys and the ends of their claims, how many are absent, and how
-- many both are.
local function pass(places, called)
  local returned, waiting = head_of(RETURNED), head_of(WAITING)
  local enter, absent, passed = { users = {}, keys = {}, ends = {} }, {}, {}
  local piece = math.min(BATCH, places + 64)
  while #enter.users < places and #passed < BATCH do
    local early, late = peek(returned, piece), peek(waiting, piece)
    local head = returned
    if not early or (late and late < early) then head = waiting end
    local user, key = head.users[head.at], head.keys[head.at]
    if not user then break end
    local until_us = tonumber(head.present[head.at])
    local is_called = head == returned or (called and key <= called)
    if is_called and not (until_us and until_us >= now) then
      absent[#absent + 1], absent[#absent + 2] = int(key), user
    else
      local at = #enter.users + 1
      -- Who was told a long pause when nobody could know better has the time to end it.
      local due = (until_us or now) - silence(policy)
      enter.users[at], enter.keys[at] = user, key
      if head == waiting then observe(key) end
      enter.ends[at] = math.max(now + policy.claim, due + policy.claim / 2)
    end
    passed[#passed + 1] = user
    head.at, head.taken = head.at + 1, head.taken + 1
  end
  for _, head in ipairs({ returned, waiting }) do
    if head.taken > 0 then redis.call('ZREMRANGEBYRANK', head.lane, 0, head.taken - 1) end
  end
  if #passed > 0 then redis.call('ZREM', PRESENT, unpack(passed)) end
  if #absent > 0 then redis.call('ZADD', PARKED, unpack(absent)) end
  return enter, #absent / 2, #passed
end

-- Those who enter have a place inside, and some time to show up. Returns users and tickets.
local function let_in(enter)
  local leases, tickets = {}, {}
  for i, user in ipairs(enter.users) do
    leases[2 * i - 1], leases[2 * i] = int(enter.ends[i]), user
    tickets[2 * i - 1], tickets[2 * i] = user, int(ticket_at(enter.keys[i], meta))
  end
  redis.call('ZADD', ACTIVE, unpack(leases))
  redis.call('SADD', UNCLAIMED, unpack(enter.users))
  redis.call('HSET', TICKETS, unpack(tickets))
  return tickets
end

draw(policy, meta, now)
local is_sorted = sort_out(LANES, policy, meta)
local called = call_near()
local state = in_force(policy, meta, now)
local level = bucket_level(policy, meta, now)
local places = 0
if not is_sorted then
  state = 'paused'
elseif state == 'bypass' then
  places = BATCH
elseif state == 'open' then
  places = math.min(policy.max_active - active_now(now), math.floor(level / TOKEN), BATCH)
end

local entered, let, parked, passed = {}, 0, 0, 0
if places > 0 then
  local enter
  enter, parked, passed = pass(places, called)
  let = #enter.users
  if let > 0 then
    entered = let_in(enter)
    if state == 'open' then keep_bucket(level - let * TOKEN, now) end
  end
end
if passed > 0 or #over > 0 then
  count(let, passed, #over, now)
  redis.call('HSET', META, 'admitted', int(meta.admitted + let), 'highest', int(meta.highest),
    'inversions', int(meta.inversions))
end

local standing = { 'verdict', 'none' }
if asking ~= '' then
  local lease_end = score(ACTIVE, asking)
  local lane, key = find(asking)
  if lease_end and lease_end > now then
    standing = { 'verdict', 'active', 'until_us', claim(asking, lease_end, policy, now) }
  elseif lane and not is_undrawn(policy, meta, now) then
    standing = { 'verdict', 'waiting', 'ahead', ahead_of(lane, asking, key) }
  end
end

local more = (#over == BATCH or passed == BATCH or not is_sorted) and 1 or 0
return { 'verdict', 'done', 'now_us', now, 'ended', #over, 'no_shows', no_shows, 'more', more,
  'entered', entered, 'parked', parked, 'asking', standing }
