-- entrants: the next tickets that take part in a draw, in ascending order, while it is not fixed which do.
-- Changes nothing.
--
-- ARGV: 2 highest ticket that takes part  3 only tickets above this one  4 how many at most
-- Returns verdict
--   verdict 'page': tickets; fewer than are wanted are the last
--   verdict 'fixed': it is fixed which take part, or this is another draw

assert(#ARGV == 4, 'entrants takes 4 arguments')
local drawn, after, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local meta = read_meta()
if meta.drawn ~= drawn or meta.root then return { 'verdict', 'fixed' } end

-- All lanes at once: who goes from one to another meanwhile keeps the ticket, and so is read once. In each
-- stand those who joined when the lottery was declared, and those who were in line before.
local tickets, sources = {}, 0
for _, lane in ipairs(LANES) do
  for _, added in ipairs({ UNDRAWN, 0 }) do
    local from, to = '(' .. int(after - added), int(drawn - added)
    local read = redis.call('ZRANGEBYSCORE', lane, from, to, 'WITHSCORES', 'LIMIT', 0, most)
    if #read > 0 then sources = sources + 1 end
    for i = 2, #read, 2 do tickets[#tickets + 1] = tonumber(read[i]) + added end
  end
end
-- Those who were let in before there was a lottery and have not shown up yet: a no-show among them goes to the
-- parked with the own ticket, and so gets a lot. Nobody enters before the draw, so they only get fewer.
for _, user in ipairs(redis.call('SMEMBERS', UNCLAIMED)) do
  local ticket = inside_of(user)
  if ticket and ticket > after and ticket <= drawn then
    tickets[#tickets + 1], sources = ticket, sources + 2
  end
end
if sources > 1 then table.sort(tickets) end
for i = #tickets, most + 1, -1 do tickets[i] = nil end
return { 'verdict', 'page', 'tickets', tickets }
