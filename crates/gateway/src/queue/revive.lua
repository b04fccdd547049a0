-- revive: puts back a queue that Redis lost, from what a gateway remembers of it, under a new
-- epoch. Also when a gateway that remembers nothing was faster and made the queue anew.
--
-- ARGV: 2 version  3 epoch  4 born  5 last ticket  6 µs in which nobody is let in
--       7 of a lottery: how many seeds, commitment, seed, root, beacon, key with commas between, or ''
--       8 highest ticket drawn, or 0  9 entrants  10 by (JSON)  11.. the policy (see write_policy)
-- Returns verdict
--   verdict 'revived' | 'alive': nothing was lost | 'removed': an operator ended it since

assert(#ARGV >= 13 and #ARGV % 2 == 1, 'revive takes 11 arguments and pairs')
local version, epoch, born = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local last, drawn = tonumber(ARGV[5]), tonumber(ARGV[8])
local seeds, commitment, seed, root, beacon, key =
  string.match(ARGV[7], '^(.-),(.-),(.-),(.-),(.-),(.*)$')

local meta = read_meta()
if meta.removed >= epoch then return { 'verdict', 'removed' } end
local policy = read_policy()
-- Made anew by somebody who did not know it, or an old copy of what was there before.
local made_anew = policy and meta.born > epoch
local other_life = not policy or made_anew or meta.epoch < epoch
local older_policy = not policy or meta.version < version
if not other_life and not older_policy then return { 'verdict', 'alive' } end

local now = now_us()
if other_life then
  local life = made_anew and meta.epoch or math.max(now, epoch + 1)
  redis.call('HSET', META, 'epoch', int(life), 'born', int(born),
    'last', int(math.max(meta.last, last)), 'recovers_at', int(now + tonumber(ARGV[6])))
end
-- Lots come from the key, so with it all who return find the places that they were drawn.
local knows_more = commitment ~= meta.commitment or drawn > meta.drawn or (key ~= '' and not meta.key)
if commitment and commitment ~= '' and knows_more then
  redis.call('HSET', META, 'commitment', commitment, 'seed', seed, 'seeds', seeds, 'drawn', int(drawn),
    'entrants', ARGV[9], 'unsorted', 1)
  if root ~= '' then redis.call('HSET', META, 'root', root) end
  if key ~= '' then redis.call('HSET', META, 'beacon', beacon, 'key', key) end
end
if not older_policy then return { 'verdict', 'revived' } end
version = version + 1
write_policy(11, version)
note(version, now, ARGV[10], 'null', ARGV[11])
return { 'verdict', 'revived' }
