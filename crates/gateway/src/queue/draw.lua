-- draw: what every script knows of a lottery. Who joined before the doors opened has a lot.
--
-- A lot is a number that the secret seed gives to a ticket: one to one, so no two are the same and
-- each leads back to its ticket. It is a Feistel network of 6 rounds over the two halves of 26 bits
-- of the ticket number; in round i the right half r adds the first 28 bits of
-- SHA-1(seed ":" i ":" r), modulo 2^26, to the left one by exclusive or.
--
-- A key is the score of a place in a lane: the ticket number, or lot - 2^52 for who has a lot. So
-- those who are drawn stand before all others, and the draw itself moves nobody: it only lets the
-- places be seen. Until then nothing that a visitor can see or measure depends on their lot.
--
-- META: seed      64 hex digits; there is a draw, to come or held
--       drawn     highest ticket number that took part; 0 until the doors open
--       entrants  how many took part
--       unsorted  1 while keys of those in line must be brought into the order of the rules

assert(bit and redis.sha1hex, 'a lottery takes bit operations and SHA-1')
local HALF = 67108864
local LOTS = HALF * HALF
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

-- The ticket whose place has this key.
local function ticket_at(key, meta)
  if key >= 0 then return key end
  return meta.seed and ticket_of_lot(meta.seed, key + LOTS)
end

-- The key of a ticket's place.
local function key_of(ticket, policy, meta)
  local has_lot = ticket <= meta.drawn or (meta.drawn == 0 and policy.order == 'lottery')
  if meta.seed and has_lot then return lot_of(meta.seed, ticket) - LOTS end
  return ticket
end

-- When the doors opened, if they are open. A pause after a loss does not close them.
local function opened_at(policy, now)
  if policy.state == 'open' or policy.state == 'bypass' then return now end
  if policy.state == 'scheduled' and now >= policy.opens_at then return policy.opens_at end
end

-- Whether places must not be seen, or cannot be told yet.
local function is_undrawn(policy, meta, now)
  if not meta.seed then return false end
  if meta.unsorted then return true end
  return meta.drawn == 0 and policy.order == 'lottery' and not opened_at(policy, now)
end

-- Holds the draw when the doors are open: one step, however many wait.
local function draw(policy, meta, now)
  local opened = meta.seed and meta.drawn == 0 and opened_at(policy, now)
  if not opened then return end
  if policy.order == 'lottery' then
    meta.drawn = math.max(meta.last, opened)
    redis.call('HSET', META, 'drawn', int(meta.drawn), 'entrants', redis.call('ZCARD', WAITING))
  elseif not meta.unsorted then
    -- They opened in order of arrival: the next lottery has a seed of its own.
    redis.call('HDEL', META, 'seed')
    meta.seed = nil
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

-- Brings keys into the order of the rules, a bounded batch. Returns whether all are.
local function sort_out(lanes, policy, meta)
  if not meta.unsorted then return true end
  local left, from, to = SORTED_AT_ONCE, '-inf', '(0'
  if meta.drawn > 0 then
    from, to = 0, int(meta.drawn)
  elseif policy.order == 'lottery' then
    from, to = 0, '+inf'
  end
  for _, lane in ipairs(lanes) do
    local wrong = redis.call('ZRANGEBYSCORE', lane, from, to, 'WITHSCORES', 'LIMIT', 0, left)
    for i = 1, #wrong, 2 do
      local ticket = ticket_at(tonumber(wrong[i + 1]), meta)
      redis.call('ZADD', lane, int(key_of(ticket, policy, meta)), wrong[i])
    end
    left = left - #wrong / 2
    if left == 0 then return false end
  end
  meta.unsorted = false
  redis.call('HDEL', META, 'unsorted', 'called', 'calling', 'calling_until')
  return true
end

