-- Takes the locks of all the wanted seats, or none of them.
--
-- KEYS      one key for each seat
-- ARGV[1]   owner: an owner that takes a lock again keeps it
-- ARGV[2]   how long the locks live, in milliseconds
-- returns   the positions in KEYS of the locks that another owner has; an empty list means that all are taken
assert(#KEYS >= 1, 'take: at least one key')
assert(#ARGV == 2, 'take: owner, milliseconds')

local owner, lives_ms = ARGV[1], ARGV[2]
local others = {}
for position, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if holder and holder ~= owner then
    others[#others + 1] = position
  end
end
if #others == 0 then
  for _, key in ipairs(KEYS) do
    redis.call('SET', key, owner, 'PX', lives_ms)
  end
end
return others
