-- change: replaces the policy, or makes the queue, if nobody else changed it meanwhile.
--
-- ARGV: 2 version that the caller saw (0: none)  3 by  4 before (3 and 4 are JSON)
--       5 for a lottery that begins by this: the SHA-256 of a seed, and the seed behind a space; or the
--         first alone of one that the operator keeps  6.. the policy (see
--       write_policy)
-- Returns verdict
--   verdict 'created' | 'changed' | 'stale': somebody else was faster, nothing is changed

assert(#ARGV >= 8 and #ARGV % 2 == 0, 'change takes 6 arguments and pairs')
local meta = read_meta()
if meta.version ~= tonumber(ARGV[2]) then return { 'verdict', 'stale' } end

local now = now_us()
local policy = read_policy()
local version = meta.version + 1
if policy then
  -- What has run up so far is worth what the old rate says, and a draw that is due is held.
  keep_bucket(bucket_level(policy, meta, now), now)
  draw(policy, meta, now)
else
  local epoch = int(math.max(now, meta.removed + 1))
  redis.call('HSET', META, 'epoch', epoch, 'born', epoch)
end
local known = redis.call('HGET', POLICY, 'remaining')
write_policy(6, version)
note(version, now, ARGV[3], ARGV[4], ARGV[6])

-- A rate that is found begins where the one that was set stood.
if policy and not policy.is_auto then
  redis.call('HDEL', META, 'auto_sums', 'auto_ceiling', 'auto_down_at', 'auto_reason', 'auto_told')
  redis.call('HSET', META, 'auto_milli', int(policy.admit_milli))
end
-- What an operator says is left holds until the service behind says something else.
local said = redis.call('HMGET', POLICY, 'remaining')[1]
if said ~= known then
  redis.call('HDEL', META, 'remaining', 'stock')
  if said then redis.call('HSET', META, 'remaining', said, 'stock', said) end
  redis.call('HSET', META, 'remaining_at', int(now))
end
local after = read_policy()
local begins = after.order == 'lottery' and after.state == 'scheduled' and now < after.opens_at
-- A draw is final: the next one begins when nobody of the last one is in line.
if begins and meta.drawn > 0 and not has_lots(LANES) then
  redis.call('HDEL', META, 'commitment', 'seed', 'drawn', 'entrants', 'root', 'beacon', 'key',
    'announced')
  meta.commitment, meta.seed, meta.root, meta.key, meta.drawn = nil, nil, nil, nil, 0
end
-- A seed is chosen once; an operator who keeps it may say another before the draw, and it is counted.
local commitment, seed = string.match(ARGV[5], '^(%x+) ?(%x*)$')
local is_kept = seed == '' and meta.commitment ~= commitment and meta.drawn == 0
if begins and (not meta.commitment or is_kept) then
  redis.call('HSET', META, 'commitment', commitment, 'seed', seed)
  redis.call('HINCRBY', META, 'seeds', 1)
  meta.commitment = commitment
end
local turned = begins or (policy and policy.order ~= after.order)
if turned and meta.commitment and meta.drawn == 0 and not is_empty(LANES) then
  redis.call('HSET', META, 'unsorted', 1)
  meta.unsorted = true
end
draw(after, meta, now)
return { 'verdict', policy and 'changed' or 'created' }
