-- leave: ends one visit. The second time it changes nothing.
--
-- ARGV: 2 user  3 ticket
-- Returns verdict
--   verdict 'left':  the visit is over now; freed = 1 when a place inside is free by it
--   verdict 'never': there was no such visit (any more)
--   verdict 'gone' | 'removed'

assert(#ARGV == 3, 'leave takes 3 arguments')
local user, ticket = ARGV[2], tonumber(ARGV[3])

if redis.call('EXISTS', POLICY) == 0 then return { 'verdict', absence() } end
local meta = read_meta()

-- Also for a lost visit that was not brought back: it shall not come back after this.
forget_ticket(ticket, meta)
local lane, key = find(user)
if lane and ticket_at(key, meta) == ticket then
  redis.call('ZREM', lane, user)
  redis.call('ZREM', PRESENT, user)
  return { 'verdict', 'left' }
end
local lease_end, now = score(ACTIVE, user), now_us()
if lease_end and inside_of(user) == ticket then
  end_visit(user, meta)
  count(0, 0, 1, now)
  return { 'verdict', 'left', 'freed', lease_end > now and 1 or 0 }
end
-- A line that is older than the gateway knows it cannot say never.
return { 'verdict', is_behind(meta, now) and 'gone' or 'never' }
