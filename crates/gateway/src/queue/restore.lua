-- restore: brings a visit that Redis lost back to its own ticket number.
--
-- ARGV: 2 user  3 ticket  4 epoch
-- Returns { verdict, number }
--   verdict 'waiting': number visitors are ahead
--   verdict 'over':    not lost, or the user has another place; number is 0
--   verdict 'gone' | 'removed': number is 0

assert(#ARGV == 4, 'restore takes 4 arguments')
local user, ticket, epoch = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

if not read_policy() then return { absence(), 0 } end
local meta = read_meta()
local now = now_us()
if not is_lost(user, ticket, epoch, meta, now) then return { 'over', 0 } end

if score(ACTIVE, user) then end_visit(user, meta) end
redis.call('ZADD', WAITING, int(ticket), user)
redis.call('HSET', META, 'last', int(math.max(meta.last, ticket)))
return { 'waiting', redis.call('ZRANK', WAITING, user) }
