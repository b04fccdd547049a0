-- remove: ends the queue and every visit in it. What is left says that it was removed on purpose.
--
-- ARGV: 2 version that the caller saw  3 by  4 before (3 and 4 are JSON)
-- Returns verdict
--   verdict 'done' | 'stale': somebody else was faster, nothing is changed

assert(#ARGV == 4, 'remove takes 4 arguments')
local meta = read_meta()
if meta.version ~= tonumber(ARGV[2]) then return { 'verdict', 'stale' } end

local now = now_us()
local version = meta.version + 1
redis.call('UNLINK', POLICY, META, WAITING, ACTIVE, UNCLAIMED, TICKETS, ENDED, ADMITTED, PRESENT,
  RETURNED, PARKED, PARKED_BEFORE, IDLED)
-- Later than every epoch that a gateway may remember, also when the clock went back.
local removed = math.max(now, meta.epoch)
redis.call('HSET', META, 'removed', int(removed), 'version', int(version))
note(version, now, ARGV[3], ARGV[4], 'null')
return { 'verdict', 'done' }
