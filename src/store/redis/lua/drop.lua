-- Takes a generation's identity away, and the pointer that names it.
--
-- KEYS: cursors, live, intent. ARGV: build, number.
-- Reply: 1 when its keys may go, 0 when another build stands under this number.

local stored = hmget(KEYS[1], { 'build' })
if stored.err then
  return refuse('cursors', stored)
elseif stored[1] and stored[1] ~= ARGV[1] then
  return 0
end
local live = pcall('GET', KEYS[2])
if type(live) == 'table' and live.err then
  return refuse('live', live)
end
if live == ARGV[2] then
  call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
elseif stored[1] then
  call('UNLINK', KEYS[1])
end
return 1
