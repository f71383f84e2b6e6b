-- Unlinks keys of a generation that has no identity.
--
-- KEYS: cursors, meta. ARGV: packed keys, the id of the attempt to copy that sweeps (or nothing).
-- Reply: 1, or 0 when a generation stands there or somebody else is copying one.

if call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local stored = hmget(KEYS[2], { 'copying' })
if stored.err then
  return refuse('meta', stored)
elseif (stored[1] or '') ~= ARGV[2] then
  return 0
end
local keys = cmsgpack.unpack(ARGV[1])
for first = 1, #keys, MOST do
  call('UNLINK', unpack(keys, first, math.min(first + MOST - 1, #keys)))
end
return 1
