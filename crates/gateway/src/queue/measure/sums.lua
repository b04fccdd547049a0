-- sums: adds what one gateway counted to the sums of a minute, once however often it is sent.
--
-- It stands alone, without what the other scripts share: it touches no place.
-- KEYS: 1 minutes  2 the last batch of this gateway, which ends by itself
-- ARGV: 1 field of the minute  2 number of the batch  3 for how long in s that is remembered
--       4.. place and amount of each that was counted
-- Returns 1 when it was added by this call, 0 when an earlier one did. The field holds `place:sum` of each
-- place that is not 0, in order.

assert(#KEYS == 2, 'sums takes 2 keys')
assert(#ARGV >= 5 and #ARGV % 2 == 1, 'sums takes 3 arguments and pairs')
if redis.call('GET', KEYS[2]) == ARGV[2] then return 0 end
local sums, most = {}, 0
local function add(place, amount)
  place = tonumber(place)
  sums[place] = (sums[place] or 0) + tonumber(amount)
  most = math.max(most, place)
end
local kept = redis.call('HGET', KEYS[1], ARGV[1])
for place, sum in string.gmatch(kept or '', '(%d+):(%d+)') do add(place, sum) end
for i = 4, #ARGV, 2 do add(ARGV[i], ARGV[i + 1]) end
local packed = {}
for place = 0, most do
  if sums[place] then packed[#packed + 1] = string.format('%d:%.0f', place, sums[place]) end
end
redis.call('HSET', KEYS[1], ARGV[1], table.concat(packed, ' '))
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
