-- change: replaces the policy, or makes the queue, if nobody else changed it meanwhile.
--
-- ARGV: 2 version that the caller saw (0: none)  3 by  4 before  5 after (3 to 5 are JSON)
--       6.. fields and values of the policy
-- Returns { verdict, version }
--   verdict 'created' | 'changed' | 'stale': somebody else was faster, nothing is changed

assert(#ARGV >= 7 and #ARGV % 2 == 1, 'change takes 5 arguments and pairs')
local meta = read_meta()
if meta.version ~= tonumber(ARGV[2]) then return { 'stale', meta.version } end

local now = now_us()
local policy = read_policy()
local version = meta.version + 1
if policy then
  -- What has run up so far is worth what the old rate says.
  keep_bucket(bucket_level(policy, meta, now), now)
else
  local epoch = int(math.max(now, meta.removed + 1))
  redis.call('HSET', META, 'epoch', epoch, 'born', epoch)
end
write_policy(6, version)
note(version, now, ARGV[3], ARGV[4], ARGV[5])
return { policy and 'changed' or 'created', version }
