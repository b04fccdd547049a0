-- stock: notes what is left to sell, as the service behind said last, and how many visitors bought.
--
-- ARGV: 2 what is left, or ''  3 how long ago in µs this gateway heard it  4 visitors who bought since
--       this gateway's last call
-- Returns verdict 'gone' | 'removed', or 'noted' | 'older': another gateway heard something later

assert(#ARGV == 4, 'stock takes 4 arguments')
local policy = read_policy()
if not policy then return { 'verdict', absence() } end
local meta, now = read_meta(), now_us()
if ARGV[4] ~= '0' then redis.call('HINCRBY', META, 'bought', ARGV[4]) end
local left = tonumber(ARGV[2])
if not left then return { 'verdict', 'noted' } end
-- Two gateways tell in any order; what was heard last holds.
local heard_at = now - tonumber(ARGV[3])
local field = redis.call('HMGET', META, 'remaining_at', 'stock')
if heard_at < (tonumber(field[1]) or 0) then return { 'verdict', 'older' } end
-- What was there at most: what is not left of it was sold.
local stock = math.max(tonumber(field[2]) or 0, left)
local was_sold_out = is_sold_out(policy, meta)
redis.call('HSET', META, 'remaining', int(left), 'remaining_at', int(heard_at), 'stock', int(stock))
meta.remaining = left
local is_over = is_sold_out(policy, meta)
if is_over ~= was_sold_out then
  local rule = redis.call('HGET', POLICY, 'json')
  note_by_itself(meta.version, now, '"sold out"', rule,
    string.format('{"from":"%s","to":"%s"}', was_sold_out and 'closed' or policy.state,
      is_over and 'closed' or policy.state))
end
return { 'verdict', 'noted' }
