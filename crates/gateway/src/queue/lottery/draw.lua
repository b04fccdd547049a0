-- draw: what every script knows of a lottery. Who joined before the doors opened has a lot.
--
-- A lot is a number that the key of the draw gives to a ticket: one to one, so no two are the same and
-- each leads back to its ticket. It is a Feistel network of 6 rounds over the two halves of 26 bits
-- of the ticket number; in round i the right half r adds the first 28 bits of
-- SHA-1(key ":" i ":" r), modulo 2^26, to the left one by exclusive or.
--
-- Nobody knows the key before the doors open, also not who reads all this: it is made of the seed and of
-- the root over all tickets, which is fixed when nobody can join any more (settle.lua).
--
-- The score of a place in a lane is the ticket number; lot - 2^52 for who has a lot; and
-- ticket - 2^53 for who will have one. So those who take part stand before all others, and are told
-- apart from others also by a gateway that has not heard of the lottery.
--
-- META: commitment  SHA-256 of the seed; there is a draw, to come or held
--       seed        64 hex digits, or '' while the operator keeps it
--       drawn       highest ticket number that takes part; 0 until the doors open
--       announced   the beacon that was named when that was said, or ''
--       root        over all tickets that take part; entrants: how many
--       beacon      what was added to seed and root, or ''
--       key         64 hex digits; gives out the lots
--       unsorted    1 while scores of those in line must be brought into the order of the rules
--       seeds       how often a seed was chosen in this life of the queue

assert(bit and redis.sha1hex, 'a lottery takes bit operations and SHA-1')
local HALF = 67108864
local LOTS = HALF * HALF
-- Added to the score of who takes part in a draw that was not held, it is the ticket number.
local UNDRAWN = 2 * LOTS
local ROUNDS = 6
-- Keys that one script brings into order: 12 digests each are a few milliseconds.
local SORTED_AT_ONCE = 250

local function mixed(seed, round, half)
  local digest = redis.sha1hex(seed .. ':' .. round .. ':' .. int(half))
  return tonumber(string.sub(digest, 1, 7), 16) % HALF
end

local function lot_of(seed, ticket)
  local left, right = math.floor(ticket / HALF), ticket % HALF
  for round = 1, ROUNDS do left, right = right, bit.bxor(left, mixed(seed, round, right)) end
  return left * HALF + right
end

local function ticket_of_lot(seed, lot)
  local left, right = math.floor(lot / HALF), lot % HALF
  for round = ROUNDS, 1, -1 do left, right = bit.bxor(right, mixed(seed, round, left)), left end
  return left * HALF + right
end

-- The ticket whose place has this score.
local function ticket_at(score, meta)
  if score >= 0 then return score end
  if score < -LOTS then return score + UNDRAWN end
  return meta.key and ticket_of_lot(meta.key, score + LOTS)
end

-- The score of a ticket's place.
local function key_of(ticket, policy, meta)
  local takes_part = ticket <= meta.drawn or (meta.drawn == 0 and policy.order == 'lottery')
  if not meta.commitment or not takes_part then return ticket end
  if meta.key then return lot_of(meta.key, ticket) - LOTS end
  return ticket - UNDRAWN
end

-- When the doors opened, if they are open. A pause after a loss does not close them.
local function opened_at(policy, now)
  if policy.state == 'open' or policy.state == 'bypass' then return now end
  if policy.state == 'scheduled' and now >= policy.opens_at then return policy.opens_at end
end

-- Whether places must not be seen, or cannot be told yet. The doors may have opened a moment ago and the
-- draw still be to come: the order of arrival is nobody's place.
local function is_undrawn(policy, meta)
  if not meta.commitment then return false end
  return meta.unsorted or (meta.drawn == 0 and policy.order == 'lottery')
end

-- The beacon that the rules name now, or ''.
local function named_beacon()
  local json = redis.call('HGET', POLICY, 'json')
  local beacon = json and cjson.decode(json).beacon
  return type(beacon) == 'string' and beacon or ''
end

-- Says who takes part when the doors are open: one step, however many wait. Nobody enters and no place
-- is seen until the draw is settled.
local function draw(policy, meta, now)
  local opened = meta.commitment and meta.drawn == 0 and opened_at(policy, now)
  if not opened then return end
  if policy.order == 'lottery' then
    meta.drawn, meta.unsorted = math.max(meta.last, opened), true
    -- From here on lots can be computed for each beacon, so an operator who named another one would choose.
    meta.announced = named_beacon()
    redis.call('HSET', META, 'drawn', int(meta.drawn), 'unsorted', 1, 'announced', meta.announced)
  elseif not meta.unsorted then
    -- They opened in order of arrival: the next lottery has a seed of its own.
    redis.call('HDEL', META, 'commitment', 'seed')
    meta.commitment, meta.seed = nil, nil
  end
end

-- Whether somebody in line has a lot.
local function has_lots(lanes)
  for _, lane in ipairs(lanes) do
    if redis.call('ZCOUNT', lane, '-inf', '(0') > 0 then return true end
  end
  return false
end

local function is_empty(lanes)
  return redis.call('EXISTS', unpack(lanes)) == 0
end

-- The ranges of scores that are not in the order of the rules.
local function wrong_ranges(policy, meta)
  if meta.drawn > 0 then
    return { { int(-UNDRAWN), '(' .. int(-LOTS) }, { 0, int(meta.drawn) } }
  end
  if policy.order == 'lottery' then return { { 0, '+inf' } } end
  return { { '-inf', '(0' } }
end

-- Brings scores into the order of the rules, a bounded batch. Returns whether all are.
local function sort_out(lanes, policy, meta)
  if not meta.unsorted then return true end
  if meta.drawn > 0 and not meta.key then return false end
  local left = SORTED_AT_ONCE
  for _, range in ipairs(wrong_ranges(policy, meta)) do
    for _, lane in ipairs(lanes) do
      local wrong = redis.call('ZRANGEBYSCORE', lane, range[1], range[2], 'WITHSCORES', 'LIMIT', 0, left)
      for i = 1, #wrong, 2 do
        local ticket = ticket_at(tonumber(wrong[i + 1]), meta)
        redis.call('ZADD', lane, int(key_of(ticket, policy, meta)), wrong[i])
      end
      left = left - #wrong / 2
      if left == 0 then return false end
    end
  end
  meta.unsorted = false
  redis.call('HDEL', META, 'unsorted', 'called', 'calling', 'calling_until')
  return true
end
