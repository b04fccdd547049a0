-- present: many visitors who wait are there, all in one step. Changes no place.
--
-- ARGV: 2 near  3 pace (see lanes)  4.. user and ticket of each
-- Returns recorded: how many are near enough to be recorded

assert(#ARGV >= 5 and #ARGV % 2 == 1, 'present takes 2 arguments and pairs')
local near, pace = tonumber(ARGV[2]), tonumber(ARGV[3])

local policy = read_policy()
if not policy then return { 'recorded', 0 } end
local meta = read_meta()
local now = now_us()
if is_undrawn(policy, meta, now) then return { 'recorded', 0 } end

local recorded = 0
for i = 4, #ARGV, 2 do
  local user, ticket = ARGV[i], tonumber(ARGV[i + 1])
  for _, lane in ipairs({ WAITING, RETURNED }) do
    local key = score(lane, user)
    if key and ticket_at(key, meta) == ticket then
      local ahead = ahead_of(lane, user, key)
      recorded = recorded + show_up(user, lane, ahead, near, pace, policy, now)
    end
  end
end
return { 'recorded', recorded }
