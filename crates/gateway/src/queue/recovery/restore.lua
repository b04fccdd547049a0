-- restore: brings a visit that Redis lost back to its own place.
--
-- ARGV: 2 to 5 what is told (see lanes)  6 proof (see touch)  7 user  8 ticket  9 epoch
-- Returns verdict
--   verdict 'waiting' | 'undrawn': as in touch; over: user and ticket of the visit that it takes the place of
--   verdict 'over':    not lost, or the user has another place
--   verdict 'gone' | 'removed'

assert(#ARGV == 9, 'restore takes 9 arguments')
local told, proof, user = read_told(), ARGV[6], ARGV[7]
local ticket, epoch = tonumber(ARGV[8]), tonumber(ARGV[9])

local policy = read_policy()
if not policy then return { 'verdict', absence() } end
local meta = read_meta()
local now = now_us()
if not is_lost(user, ticket, epoch, meta, now) then return { 'verdict', 'over' } end
draw(policy, meta, now)

local over = {}
local function give_up(number)
  forget_ticket(number, meta)
  if number then over = { user, int(number) } end
end

if score(ACTIVE, user) then give_up((take_out(user))) end
local other, other_key = find(user)
if other then
  redis.call('ZREM', other, user)
  give_up(ticket_at(other_key, meta))
end
local key = key_of(ticket, policy, meta)
-- Late ones come in beside the line: they enter at their turn, and no number that was shown grows.
local seen_by_nobody = now < meta.recovers_at or ticket > meta.last or is_undrawn(policy, meta)
local lane = seen_by_nobody and WAITING or RETURNED
redis.call('ZADD', lane, int(key), user)
redis.call('HSET', META, 'last', int(math.max(meta.last, ticket)))
return with(tell(user, lane, key, proof, told, policy, meta, now),
  'room', lane == RETURNED and room(policy, meta, now) or 0, 'over', over)
