-- ranks: where many visits stand that are watched, looked up together. Who waits shows up by it, who is
-- inside does not: nobody's lease changes.
--
-- ARGV: 2 to 5 what is told (see lanes)  6.. user and ticket of each
-- Returns a reply for each visit, in their order: as of touch, but with
--   verdict 'unclear': neither in line nor inside; such a visit is asked for by itself

assert(#ARGV >= 7 and #ARGV % 2 == 1, 'ranks takes 5 arguments and pairs')
local told = read_told()

local now = now_us()
local policy, meta = read_policy(), read_meta()
local found = {}

local function standing(user, ticket)
  local key = policy and score(WAITING, user)
  if key and ticket_at(key, meta) == ticket then
    return tell(user, WAITING, key, 'watch', told, policy, meta, now)
  end
  local score_us = score(ACTIVE, user)
  if score_us and score_us > now then
    local own, lease_end = inside_of(user)
    if own == ticket then return { 'verdict', 'active', 'until_us', lease_end or score_us } end
  end
  return { 'verdict', 'unclear' }
end

for i = 6, #ARGV, 2 do
  found[#found + 1] = standing(ARGV[i], tonumber(ARGV[i + 1]))
end
return found
