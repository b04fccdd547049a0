-- revive: puts back a queue that Redis lost, from what a gateway remembers of it, under a new
-- epoch. Lost is also one that is older than the gateway knows it, and one that a gateway which remembers
-- nothing made anew. Two that notice the same loss begin one new life: the second finds it begun.
--
-- ARGV: 2 version  3 last ticket  4 µs in which nobody is let in
--       5 of a lottery: how many seeds, commitment, seed, root, beacon, key and the beacon's name behind a
--         '+' or '-' while it is not fixed, with commas between; or ''
--       6 highest ticket drawn, or 0  7 entrants  8 by (JSON)  9.. the policy (see write_policy)
-- Returns verdict
--   verdict 'revived': was = 'empty' | 'older' | 'another' (line than the gateway knows) | 'alive'
--   verdict 'alive': nothing was lost | 'removed': an operator ended it since

assert(#ARGV >= 11 and #ARGV % 2 == 1, 'revive takes 9 arguments and pairs')
local version, epoch, born = tonumber(ARGV[2]), tonumber(KNOWN_EPOCH), tonumber(KNOWN_BORN)
local last, drawn = tonumber(ARGV[3]), tonumber(ARGV[6])
local seeds, commitment, seed, root, beacon, key, announced =
  string.match(ARGV[5], '^(.-),(.-),(.-),(.-),(.-),(.-),(.*)$')
-- More lives than anybody's token outlives; beyond them older tickets are believed.
local FLOORS_LENGTH = 1000

local meta = read_meta()
local now = now_us()
if meta.removed >= epoch then return { 'verdict', 'removed' } end
local policy = read_policy()
local is_older = policy and is_behind(meta, now)
-- The rules of somebody else are not ours, however often they were changed.
local older_policy = not policy or meta.version < version or (is_older and meta.born < born)
if not is_older and not older_policy then return { 'verdict', 'alive' } end

-- A new life, but for a queue that was made anew since: that one is this life.
local function begin_life()
  local made_anew = policy and meta.born > epoch
  local life = made_anew and meta.epoch or math.max(now, epoch + 1, meta.epoch + 1)
  local is_copy = policy and meta.born == born
  -- What this gateway wrote last of what is here: all that was given out before it is here, or was over.
  local floor = is_copy and meta.pulse or 0
  local floors = redis.call('HGET', META, 'floors') or ''
  if #floors > FLOORS_LENGTH then floors, floor = '', 0 end
  redis.call('HSET', META, 'epoch', int(life), 'born', int(policy and math.min(meta.born, born) or born),
    'last', int(math.max(meta.last, last)), 'beat', int(math.max(meta.beat, tonumber(KNOWN_PULSE))),
    'recovers_from', int(now), 'recovers_at', int(now + tonumber(ARGV[4])), 'floors', floors .. int(life) .. ':' .. int(floor) .. ',')
  if not policy then return 'empty' end
  if meta.born < born then redis.call('HSET', META, 'in_place_of', int(born)) end
  return is_copy and 'older' or 'another'
end

local was = 'alive'
if is_older or not policy then was = begin_life() end
-- Lots come from the key, so with it all who return find the places that they were drawn.
local knows_more = commitment ~= meta.commitment or drawn > meta.drawn or (key ~= '' and not meta.key)
if commitment and commitment ~= '' and knows_more then
  redis.call('HSET', META, 'commitment', commitment, 'seed', seed, 'seeds', seeds, 'drawn', int(drawn),
    'entrants', ARGV[7], 'unsorted', 1)
  if announced ~= '-' then redis.call('HSET', META, 'announced', string.sub(announced, 2)) end
  if root ~= '' then redis.call('HSET', META, 'root', root) end
  if key ~= '' then redis.call('HSET', META, 'beacon', beacon, 'key', key) end
end
if older_policy then
  version = math.max(version, meta.version) + 1
  write_policy(9, version)
  note(version, now, ARGV[8], 'null', ARGV[9])
end
return { 'verdict', 'revived', 'was', was }
