-- refuse: notes that an operator's key was not good for what it was used for. The same again since the last
-- change is one note that counts, so nobody can push the changes out of the list by asking.
--
-- ARGV: 2 by (JSON)  3 the right that is missing
-- Returns verdict 'noted' | 'gone' | 'removed': there is nothing that could be steered

assert(#ARGV == 3, 'refuse takes 3 arguments')
local rule = redis.call('HGET', POLICY, 'json')
if not rule then return { 'verdict', absence() } end
-- More than there are operators with a right too few.
local LOOKED_AT = 50

local times = 1
for _, entry in ipairs(redis.call('LRANGE', AUDIT, 0, LOOKED_AT - 1)) do
  local right, before = string.match(entry, ',"effect":{"refused":"(%a+)","times":(%d+)}}$')
  if not right then break end
  if right == ARGV[3] and string.match(entry, '"by":("[^"]*")') == ARGV[2] then
    redis.call('LREM', AUDIT, 1, entry)
    times = before + 1
    break
  end
end
note_by_itself(read_meta().version, now_us(), ARGV[2], rule,
  string.format('{"refused":"%s","times":%s}', ARGV[3], int(times)))
return { 'verdict', 'noted' }
