-- place: gives many of those who take part in a draw the score of their lot, if they still have that
-- very place.
--
-- ARGV: 2.. user, score until now and score of the lot of each
-- Returns verdict 'done', placed: how many are placed by it

assert(#ARGV >= 4 and #ARGV % 3 == 1, 'place takes triples')
local placed = 0
for i = 2, #ARGV, 3 do
  if score(WAITING, ARGV[i]) == tonumber(ARGV[i + 1]) then
    redis.call('ZADD', WAITING, ARGV[i + 2], ARGV[i])
    placed = placed + 1
  end
end
return { 'verdict', 'done', 'placed', placed }
