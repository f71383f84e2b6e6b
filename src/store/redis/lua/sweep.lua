-- Unlinks keys of a generation that has no identity.
--
-- KEYS: cursors. ARGV: packed keys. Reply: 1, or 0 when a generation stands there.

if call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local keys = cmsgpack.unpack(ARGV[1])
for first = 1, #keys, MOST do
  call('UNLINK', unpack(keys, first, math.min(first + MOST - 1, #keys)))
end
return 1
