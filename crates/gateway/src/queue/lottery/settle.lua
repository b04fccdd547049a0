-- settle: fixes which tickets take part in a draw, and, then or later, the key that gives out the lots.
--
-- ARGV: 2 root over the tickets  3 how many  4 seed  5 beacon  6 key (4 to 6 are '' while they are
--       not known)
-- Returns verdict
--   verdict 'settled' | 'other': another root is fixed | 'undrawn': there is nothing to settle

assert(#ARGV == 6, 'settle takes 6 arguments')
local meta = read_meta()
if meta.drawn == 0 or not meta.commitment then return { 'verdict', 'undrawn' } end
if not meta.root then
  redis.call('HSET', META, 'root', ARGV[2], 'entrants', ARGV[3])
  meta.root = ARGV[2]
end
if meta.root ~= ARGV[2] then return { 'verdict', 'other' } end
if ARGV[6] ~= '' and not meta.key then
  redis.call('HSET', META, 'seed', ARGV[4], 'beacon', ARGV[5], 'key', ARGV[6])
end
return { 'verdict', 'settled' }
