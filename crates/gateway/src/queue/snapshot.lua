-- snapshot: what one gateway tells all visitors of the next second. Changes nothing.
--
-- ARGV: none of its own
-- Returns verdict 'present', or 'gone' | 'removed' with version alone
--   now_us, state (the one in force), policy (fields and values of its hash)
--   behind = 1 while Redis knows less of the line than the gateway
--   version, epoch, born, last, recovers_at, joined, admitted, no_shows, inversions
--   waiting (with returned), returned, parked, active, near (see lanes)
--   admit_milli (the rate in force), rate_reason ('' where it is not found but set)
--   remaining ('' while nobody said), stock, bought, see stock.lua
--   called: how many stand before the edge up to which all had the time to say that they are there
--   minute, quarter: admitted, passed, freed, seconds, freed_by, see last_minutes
--   commitment, seed, root, beacon and key of a draw, each '' while there is none; drawn (highest
--   ticket, or 0), announced (the beacon that was named then; nil before), entrants, seeds,
--   unsorted = 1 while scores are being sorted

assert(#ARGV == 1, 'snapshot takes 1 argument')
local now = now_us()
local policy, meta = read_policy(), read_meta()
if not policy then return { 'verdict', absence(), 'version', meta.version } end

local reply = { 'verdict', 'present', 'now_us', now, 'state', in_force(policy, meta, now),
  'behind', is_behind(meta, now) and 1 or 0,
  'policy', redis.call('HGETALL', POLICY), 'version', meta.version, 'epoch', meta.epoch,
  'born', meta.born, 'last', meta.last, 'recovers_at', meta.recovers_at, 'joined', meta.joined }
for _, counter in ipairs({ 'admitted', 'no_shows', 'inversions' }) do
  with(reply, counter, tonumber(redis.call('HGET', META, counter)) or 0)
end

local function counted(of, pieces)
  local freed_by = {}
  for i = 1, pieces do freed_by[i] = of.freed_by[i] or 0 end
  return { 'admitted', of.admitted, 'passed', of.passed, 'freed', of.freed, 'seconds', of.seconds,
    'freed_by', freed_by }
end

local minute, quarter = last_minutes(now)
-- Who was called is recorded until they enter, also when fewer would be called now.
local near = near_depth(policy, minute, now)
local edges, before = redis.call('HMGET', META, 'called', 'calling'), { 0, 0 }
for i = 1, 2 do
  local edge = tonumber(edges[i])
  if edge then before[i] = redis.call('ZCOUNT', WAITING, '-inf', int(edge)) end
end
near = math.min(NEAR_MOST, math.max(near, unpack(before)))
local returned = redis.call('ZCARD', RETURNED)
with(reply, 'minute', counted(minute, 6), 'quarter', counted(quarter, MINUTES - 1), 'returned', returned,
  'waiting', redis.call('ZCARD', WAITING) + returned,
  'parked', parked_now(),
  'active', active_now(now), 'near', near, 'called', before[1])

local kept = redis.call('HMGET', META, 'entrants', 'seeds', 'auto_reason', 'stock', 'bought')
with(reply, 'admit_milli', policy.admit_milli,
  'rate_reason', policy.is_auto and (kept[3] or 'starting') or '',
  'remaining', meta.remaining and int(meta.remaining) or '',
  'stock', tonumber(kept[4]) or 0, 'bought', tonumber(kept[5]) or 0)
return with(reply, 'commitment', meta.commitment or '', 'seed', meta.seed or '',
  'root', meta.root or '', 'beacon', meta.beacon or '', 'key', meta.key or '', 'drawn', meta.drawn,
  'announced', meta.announced or false, 'entrants', tonumber(kept[1]) or 0, 'seeds', tonumber(kept[2]) or 0,
  'unsorted', meta.unsorted and 1 or 0)
