-- revive: puts back a queue that Redis lost, from what a gateway remembers of it, under a new
-- epoch. Also when a gateway that remembers nothing was faster and made the queue anew.
--
-- ARGV: 2 version  3 epoch  4 born  5 last ticket  6 µs in which nobody is let in
--       7 by  8 policy (7 and 8 are JSON)  9.. fields and values of the policy
-- Returns { verdict, version }
--   verdict 'revived' | 'alive': nothing was lost | 'removed': an operator ended it since

assert(#ARGV >= 10 and #ARGV % 2 == 0, 'revive takes 8 arguments and pairs')
local version, epoch, born, last = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local meta = read_meta()
if meta.removed >= epoch then return { 'removed', meta.version } end
local policy = read_policy()
-- Made anew by somebody who did not know it, or an old copy of what was there before.
local made_anew = policy and meta.born > epoch
local other_life = not policy or made_anew or meta.epoch < epoch
local older_policy = not policy or meta.version < version
if not other_life and not older_policy then return { 'alive', meta.version } end

local now = now_us()
if other_life then
  local life = made_anew and meta.epoch or math.max(now, epoch + 1)
  redis.call('HSET', META, 'epoch', int(life), 'born', int(born),
    'last', int(math.max(meta.last, last)), 'recovers_at', int(now + tonumber(ARGV[6])))
end
if not older_policy then return { 'revived', meta.version } end
version = version + 1
write_policy(9, version)
note(version, now, ARGV[7], 'null', ARGV[8])
return { 'revived', version }
