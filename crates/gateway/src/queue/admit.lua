-- admit: drops leases that ended and lets in as many as may enter, in ticket order.
--
-- ARGV: 2 user whose standing is asked for (they show up by it), or ''
-- Returns { verdict, now, ended, no_shows, more, standing, number, { user, ticket, ... } }
--   verdict 'done' | 'gone' | 'removed'
--   more = 1 when the batch was too small for what is to be done
--   standing 'waiting' (number ahead) | 'active' (number = lease end in µs) | 'none'

assert(#ARGV == 2, 'admit takes 2 arguments')
local asking = ARGV[2]

local policy = read_policy()
if not policy then return { absence(), 0, 0, 0, 0, 'none', 0, {} } end
local meta = read_meta()
local now = now_us()

local over = redis.call('ZRANGEBYSCORE', ACTIVE, '-inf', int(now), 'LIMIT', 0, BATCH)
local no_shows = 0
for _, user in ipairs(over) do no_shows = no_shows + end_visit(user, meta) end
if no_shows > 0 then redis.call('HINCRBY', META, 'no_shows', no_shows) end

local state = in_force(policy, meta, now)
local level = bucket_level(policy, meta, now)
local places = 0
if state == 'bypass' then
  places = BATCH
elseif state == 'open' then
  places = math.min(policy.max_active - active_now(now), math.floor(level / TOKEN), BATCH)
end

local entered = {}
if places > 0 then entered = redis.call('ZPOPMIN', WAITING, places) end
local count = #entered / 2
if count > 0 then
  local leases, users = {}, {}
  local claim_end = int(now + policy.claim)
  for i = 1, #entered, 2 do
    leases[#leases + 1] = claim_end
    leases[#leases + 1] = entered[i]
    users[#users + 1] = entered[i]
  end
  redis.call('ZADD', ACTIVE, unpack(leases))
  redis.call('SADD', UNCLAIMED, unpack(users))
  redis.call('HSET', TICKETS, unpack(entered))
  if state == 'open' then keep_bucket(level - count * TOKEN, now) end
  count_admitted(count, now)
end

local standing, number = 'none', 0
if asking ~= '' then
  local lease_end = score(ACTIVE, asking)
  local ahead = redis.call('ZRANK', WAITING, asking)
  if lease_end and lease_end > now then
    standing, number = 'active', claim(asking, lease_end, policy, now)
  elseif ahead then
    standing, number = 'waiting', ahead
  end
end

local more = (#over == BATCH or count == BATCH) and 1 or 0
return { 'done', now, #over, no_shows, more, standing, number, entered }
