-- present: visitors who wait and have just polled are there, all in one step. Changes no place.
--
-- ARGV: 2 to 5 what is told (see lanes)  6.. user and ticket of each
-- Returns recorded: how many are near enough to be recorded

assert(#ARGV >= 7 and #ARGV % 2 == 1, 'present takes 5 arguments and pairs')
local told = read_told()

local policy = read_policy()
if not policy then return { 'recorded', 0 } end
local meta = read_meta()
local now = now_us()
if is_undrawn(policy, meta) then return { 'recorded', 0 } end

local recorded = 0
for i = 6, #ARGV, 2 do
  local user, ticket = ARGV[i], tonumber(ARGV[i + 1])
  for _, lane in ipairs({ WAITING, RETURNED }) do
    local key = score(lane, user)
    if key and ticket_at(key, meta) == ticket then
      local ahead = ahead_of(lane, user, key)
      recorded = recorded + show_up(user, lane, ahead, ticket, 'poll', told, policy, now)
    end
  end
end
return { 'recorded', recorded }
