-- admit: drops leases that ended, parks the absent, and lets in as many as may enter, in the order of
-- places.
--
-- ARGV: 2 to 5 what is told (see lanes)
--       6 user whose standing is asked for by a poll (a visitor who is let in claims by it), or ''
-- Returns verdict: 'gone' (also a line that is older than the gateway knows it) | 'removed', or 'done' and
--   now_us, epoch, pulse (of the gateway), ended, no_shows
--   over: a list of user, ticket, user, ticket, ... of those of the ended whose visit is over
--   more = 1 when the batch was too small for what is to be done
--   entered: a list of user, ticket, user, ticket, ...; claim_us: when their claims end
--   parked: how many were parked because they are absent; their place is kept
--   unsettled = 1 while a draw has to be settled (settle.lua) before anybody may enter
--   asking: a reply of its own, verdict 'waiting' (ahead) | 'active' (until_us) | 'none'

assert(#ARGV == 6, 'admit takes 6 arguments')
local told, asking = read_told(), ARGV[6]
-- With a longer time between two runs nobody could say that they are there, ...
local STEADY = 5000000
-- ... so nobody is absent until all had the time to say so.
local EXCUSED = 30000000
-- A place is kept so long at least after its visitor went away, and twice as long at most.
local KEPT = 1800000000

local policy = read_policy()
if not policy then return { 'verdict', absence() } end
local meta = read_meta()
local now = now_us()

if is_behind(meta, now) then return { 'verdict', 'gone' } end

-- The clock went back to this instant. What was to end soon ends as soon by the new time: META turned says
-- by how much leases are to be shorter, since when, and up to which end they are already.
local function turn_back(ran_at)
  meta.turned = table.concat({ int(ran_at - now), int(now), int(now) }, ':')
  local pause = meta.recovers_at - (tonumber(redis.call('HGET', META, 'recovers_from')) or 0)
  if meta.recovers_at - now > pause then
    meta.recovers_at = now + pause
    redis.call('HSET', META, 'recovers_from', int(now), 'recovers_at', int(meta.recovers_at))
  end
end

-- Shortens leases that are too long since the clock went back, a bounded batch, those that end first before
-- others. The shortened ones end before all that are left. Returns whether more are to be.
local function shorten_leases()
  local by, since, from = string.match(meta.turned, '^(%d+):(%d+):(%d+)$')
  local read = redis.call('ZRANGEBYSCORE', ACTIVE, '(' .. from, '+inf', 'WITHSCORES', 'LIMIT', 0, BATCH)
  local users, ends, leases = {}, {}, {}
  for i = 1, #read, 2 do
    local ends_us = tonumber(read[i + 1]) - by
    -- Whoever ends before that came since, and has the new time.
    if ends_us > tonumber(since) then
      users[#users + 1] = read[i]
      ends[#ends + 1], ends[#ends + 2] = int(ends_us), read[i]
    end
  end
  if #users > 0 then
    redis.call('ZADD', ACTIVE, 'XX', unpack(ends))
    for i, kept in ipairs(redis.call('HMGET', TICKETS, unpack(users))) do
      local ticket, lease_end = string.match(kept or '', '^(%d+):(%d+)$')
      if ticket then with(leases, users[i], ticket .. ':' .. int(lease_end - by)) end
    end
    if #leases > 0 then redis.call('HSET', TICKETS, unpack(leases)) end
  end
  if #read < 2 * BATCH then
    redis.call('HDEL', META, 'turned')
    return false
  end
  redis.call('HSET', META, 'turned', table.concat({ by, since, int(tonumber(read[#read])) }, ':'))
  return true
end

local ended = redis.call('ZRANGEBYSCORE', ACTIVE, '-inf', int(now), 'LIMIT', 0, BATCH)
local no_shows, over = 0, {}
for _, user in ipairs(ended) do
  local is_no_show, ticket = end_lease(user, policy, meta, now)
  no_shows = no_shows + is_no_show
  if ticket then over[#over + 1], over[#over + 2] = user, int(ticket) end
end

-- Lets go of what nobody asks for any more.
local function tidy(kept_since)
  redis.call('ZREMRANGEBYSCORE', IDLED, '-inf', int(now))
  if kept_since and now - kept_since < KEPT then return end
  redis.call('HSET', META, 'kept_since', int(now))
  local kept = redis.call('HGETALL', META)
  for i = 1, #kept, 2 do
    local is_old = string.find(kept[i], '^pulse:') and now - tonumber(kept[i + 1]) > PULSE_KEPT
    if is_old then redis.call('HDEL', META, kept[i]) end
  end
  redis.call('UNLINK', PARKED_BEFORE)
  if redis.call('EXISTS', PARKED) == 1 then redis.call('RENAME', PARKED, PARKED_BEFORE) end
end

-- Parks visitors with these keys, and forgets until when they were there.
local function park(users, keys)
  local parked = {}
  for _, lane in ipairs({ WAITING, RETURNED }) do
    local members = {}
    for i, user in ipairs(users) do
      if keys[lane][i] then
        members[#members + 1] = user
        parked[#parked + 1], parked[#parked + 2] = int(tonumber(keys[lane][i])), user
      end
    end
    if #members > 0 then redis.call('ZREM', lane, unpack(members)) end
  end
  if #parked > 0 then redis.call('ZADD', PARKED, unpack(parked)) end
  return #parked / 2
end

-- The edge up to which visitors are near from now on. Who is not recorded when all have had the time to
-- poll once more, with the longest pause that they may have been told, is absent. Those who are parked in
-- this run are not counted yet.
local function call_edge(called, parked)
  local minute, quarter = last_minutes(now)
  minute.passed, quarter.passed = minute.passed + parked, quarter.passed + parked
  local depth = near_depth(policy, minute, now)
  -- Where most are absent all are called whose pauses are short.
  if minute.passed > 2 * minute.admitted then depth = math.max(depth, NEAR_LEAST * YOUNG_REACH) end
  depth = math.min(depth, redis.call('ZCARD', WAITING))
  if depth == 0 then return end
  local edge = redis.call('ZRANGE', WAITING, depth - 1, depth - 1, 'WITHSCORES')
  local from = called and '(' .. int(called) or '-inf'
  local first = redis.call('ZRANGEBYSCORE', WAITING, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #first == 0 or tonumber(edge[2]) < tonumber(first[2]) then return end
  -- Who polled nearer than the least distance was recorded. Pauses were told before the absent were
  -- parked who stood ahead.
  local turn = math.max(NEAR_LEAST, depth + quarter.passed - quarter.admitted)
  -- Tickets ascend, so the first is the oldest; lots do not.
  local key = tonumber(first[2])
  local ticket = key >= 0 and ticket_at(key, meta) or 0
  local until_us = proven_until(turn, ticket, told, policy, now)
  redis.call('HSET', META, 'calling', int(tonumber(edge[2])), 'calling_until', int(until_us))
end

-- Whether nobody is in line up to this key any more.
local function is_none_before(key)
  local first = redis.call('ZRANGE', WAITING, 0, 0, 'WITHSCORES')
  return #first == 0 or tonumber(first[2]) > key
end

-- Parks those before the edge who are not recorded, a bounded batch. Returns how many, and whether more
-- are to be looked at.
local function park_unrecorded(called, calling)
  local from = called and '(' .. int(called) or '-inf'
  local read = redis.call('ZRANGEBYSCORE', WAITING, from, int(calling), 'WITHSCORES', 'LIMIT', 0, BATCH)
  local users, keys = {}, { [WAITING] = {}, [RETURNED] = {} }
  for i = 1, #read, 2 do users[#users + 1] = read[i] end
  local present = #users > 0 and redis.call('ZMSCORE', PRESENT, unpack(users)) or {}
  for i = 1, #users do keys[WAITING][i] = not present[i] and read[2 * i] end
  local parked = park(users, keys)
  local is_more = #users == BATCH
  redis.call('HSET', META, 'called', is_more and int(tonumber(read[#read])) or int(calling))
  if not is_more then redis.call('HDEL', META, 'calling', 'calling_until') end
  return parked, is_more
end

-- Parks those whose record of presence is over, a bounded batch. Returns how many, and whether more
-- are to be.
local function park_absent()
  local absent = redis.call('ZRANGEBYSCORE', PRESENT, '-inf', '(' .. int(now), 'LIMIT', 0, BATCH)
  if #absent == 0 then return 0, false end
  local keys = {}
  for _, lane in ipairs({ WAITING, RETURNED }) do
    keys[lane] = redis.call('ZMSCORE', lane, unpack(absent))
  end
  redis.call('ZREM', PRESENT, unpack(absent))
  return park(absent, keys), #absent == BATCH
end

-- What goes on in every run, whether there is room or not. Returns how many were parked, and whether
-- more are to be.
local function watch_over_line()
  local field = redis.call('HMGET', META, 'ran_at', 'excused_until', 'called', 'calling',
    'calling_until', 'kept_since', 'admitted', 'highest', 'inversions')
  for i = 1, 9 do field[i] = tonumber(field[i]) end
  local ran_at, excused_until, called, calling, calling_until, kept_since = unpack(field, 1, 6)
  meta.admitted, meta.highest, meta.inversions = field[7] or 0, field[8] or 0, field[9] or 0
  tidy(kept_since)
  if not ran_at then
    -- The first run: as if there had been one when the first in line came.
    local first = redis.call('ZRANGE', WAITING, 0, 0, 'WITHSCORES')
    ran_at = first[2] and ticket_at(tonumber(first[2]), meta) or now
  end
  if now < ran_at then turn_back(ran_at) end
  meta.is_turning = meta.turned and shorten_leases()
  if now - ran_at > STEADY then
    excused_until = now + EXCUSED
    redis.call('HSET', META, 'excused_until', int(excused_until))
  end
  local pulse = int(next_beat(meta, now))
  redis.call('HSET', META, 'ran_at', int(now), 'beat', pulse, 'pulse:' .. GATEWAY, pulse)
  meta.excused = now < (excused_until or 0)
  if meta.excused or is_undrawn(policy, meta) or in_force(policy, meta, now) == 'scheduled' then
    redis.call('HDEL', META, 'calling', 'calling_until')
    return 0, false
  end
  local parked, is_more, unrecorded = park_absent()
  local is_due = calling and (now >= calling_until or is_none_before(calling))
  if is_due then
    unrecorded, calling = park_unrecorded(called, calling)
    parked, is_more = parked + unrecorded, is_more or calling
  end
  if not calling then call_edge(called, parked) end
  return parked, is_more
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
-- Returns the users who enter and their keys, how many are absent, and how many both are. Who has no
-- record came near since the last run, and is taken to be there.
local function pass(places)
  local returned, waiting = head_of(RETURNED), head_of(WAITING)
  local enter, absent, passed = { users = {}, keys = {} }, {}, {}
  local piece = math.min(BATCH, places + 64)
  while #enter.users < places and #passed < BATCH do
    local early, late = peek(returned, piece), peek(waiting, piece)
    local head = returned
    if not early or (late and late < early) then head = waiting end
    local user, key = head.users[head.at], head.keys[head.at]
    if not user then break end
    local until_us = tonumber(head.present[head.at])
    if until_us and until_us < now and not meta.excused then
      absent[#absent + 1], absent[#absent + 2] = int(key), user
    else
      enter.users[#enter.users + 1], enter.keys[#enter.keys + 1] = user, key
      if head == waiting then observe(key) end
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
local function let_in(enter, claim_us)
  local leases, tickets = {}, {}
  for i, user in ipairs(enter.users) do
    leases[2 * i - 1], leases[2 * i] = int(claim_us), user
    tickets[2 * i - 1], tickets[2 * i] = user, int(ticket_at(enter.keys[i], meta))
  end
  redis.call('ZADD', ACTIVE, unpack(leases))
  redis.call('SADD', UNCLAIMED, unpack(enter.users))
  redis.call('HSET', TICKETS, unpack(tickets))
  return tickets
end

-- Joins keep room for the line among the parked, but not for those inside, of whom none may have shown
-- up: so what is parked beyond the bound by this run takes the place of who is away longest. Rules
-- that allow fewer than there are take nobody's place.
local function keep_bound(parked_by_this)
  local excess = math.min(parked_by_this, parked_now() - parked_most(policy))
  for _, lane in ipairs({ PARKED_BEFORE, PARKED }) do
    local gone = excess > 0 and redis.call('ZPOPMIN', lane, excess) or {}
    excess = excess - #gone / 2
    for i = 1, #gone, 2 do
      local ticket = ticket_at(tonumber(gone[i + 1]), meta)
      forget_ticket(ticket, meta)
      if ticket then over[#over + 1], over[#over + 2] = gone[i], int(ticket) end
    end
  end
end

draw(policy, meta, now)
local is_sorted = sort_out(LANES, policy, meta)
local parked, is_more_absent = watch_over_line()
local state = in_force(policy, meta, now)
local level = bucket_level(policy, meta, now)
-- The clock went back: from here on the bucket fills by the new time.
if meta.bucket_at > now then keep_bucket(level, now) end
local places = 0
if not is_sorted then
  state = 'paused'
elseif state == 'bypass' then
  places = BATCH
elseif state == 'open' then
  places = math.min(policy.max_active - active_now(now), math.floor(level / TOKEN), BATCH)
end

local entered, let, passed, claim_us = {}, 0, 0, now + policy.claim
if places > 0 then
  local enter, absent
  enter, absent, passed = pass(places)
  let, parked = #enter.users, parked + absent
  if let > 0 then
    entered = let_in(enter, claim_us)
    if state == 'open' then keep_bucket(level - let * TOKEN, now) end
  end
end
if let + parked + #ended > 0 then
  count(let, let + parked, #ended, now)
  redis.call('HSET', META, 'admitted', int(meta.admitted + let), 'highest', int(meta.highest),
    'inversions', int(meta.inversions))
end

if parked + no_shows > 0 then keep_bound(parked + no_shows) end

local standing = { 'verdict', 'none' }
if asking ~= '' then
  local score_us = score(ACTIVE, asking)
  local lane, key = find(asking)
  if score_us and score_us > now then
    standing = { 'verdict', 'active', 'until_us', claim(asking, score_us, policy, now) }
  elseif lane and not is_undrawn(policy, meta) then
    standing = { 'verdict', 'waiting', 'ahead', ahead_of(lane, asking, key) }
  end
end

local is_sortable = not is_sorted and (meta.drawn == 0 or meta.key ~= nil)
local more = (#ended == BATCH or passed == BATCH or is_more_absent or is_sortable or meta.is_turning) and 1 or 0
return { 'verdict', 'done', 'now_us', now, 'epoch', meta.epoch, 'pulse', meta.beat, 'ended', #ended,
  'over', over, 'no_shows', no_shows, 'more', more,
  'entered', entered, 'claim_us', claim_us, 'parked', parked, 'asking', standing,
  'unsettled', (meta.drawn > 0 and not is_sorted) and 1 or 0 }
