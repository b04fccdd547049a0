-- Gives back those of the locks that are still the owner's.
--
-- KEYS      one key for each seat
-- ARGV[1]   owner
-- returns   how many were given back
assert(#KEYS >= 1, 'release: at least one key')
assert(#ARGV == 1, 'release: owner')

local released = 0
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then
    released = released + redis.call('DEL', key)
  end
end
return released
