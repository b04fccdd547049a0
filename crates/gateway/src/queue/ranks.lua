-- ranks: where many visits stand, looked up together. Who waits shows up by it, who is inside does
-- not: nobody's lease changes.
--
-- ARGV: 2 near  3 pace (see lanes)  4.. user and ticket of each
-- Returns { kind, number, kind, number, ... }, in the order of the visits
--   kind 1: in line, number visitors are ahead
--   kind 2: inside, the lease ends at number, in µs
--   kind 3: in line, and places are drawn when the doors open, at number, in µs
--   kind 0: none of these; such a visit is asked for by itself

assert(#ARGV >= 5 and #ARGV % 2 == 1, 'ranks takes 2 arguments and pairs')
local near, pace = tonumber(ARGV[2]), tonumber(ARGV[3])

local now = now_us()
local policy, meta = read_policy(), read_meta()
local found = {}

local function look(user, ticket)
  local key = policy and score(WAITING, user)
  if key and ticket_at(key, meta) == ticket then
    local verdict, number = tell(user, WAITING, key, near, pace, policy, meta, now)
    return verdict == 'waiting' and 1 or 3, number
  end
  local lease_end = score(ACTIVE, user)
  if lease_end and lease_end > now and ticket_inside(user) == ticket then return 2, lease_end end
  return 0, 0
end

for i = 4, #ARGV, 2 do
  local at = #found
  found[at + 1], found[at + 2] = look(ARGV[i], tonumber(ARGV[i + 1]))
end
return found
