-- ranks: where many visits stand, looked up together. Who waits shows up by it, who is inside does
-- not: nobody's lease changes.
--
-- ARGV: 2 near  3 pace (see lanes)  4.. user and ticket of each
-- Returns a reply for each visit, in their order: as of touch, but with
--   verdict 'unclear': neither in line nor inside; such a visit is asked for by itself

assert(#ARGV >= 5 and #ARGV % 2 == 1, 'ranks takes 2 arguments and pairs')
local near, pace = tonumber(ARGV[2]), tonumber(ARGV[3])

local now = now_us()
local policy, meta = read_policy(), read_meta()
local found = {}

local function standing(user, ticket)
  local key = policy and score(WAITING, user)
  if key and ticket_at(key, meta) == ticket then
    return tell(user, WAITING, key, near, pace, policy, meta, now)
  end
  local lease_end = score(ACTIVE, user)
  if lease_end and lease_end > now and ticket_inside(user) == ticket then
    return { 'verdict', 'active', 'until_us', lease_end }
  end
  return { 'verdict', 'unclear' }
end

for i = 4, #ARGV, 2 do
  found[#found + 1] = standing(ARGV[i], tonumber(ARGV[i + 1]))
end
return found
