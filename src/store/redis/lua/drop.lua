-- Takes a generation's identity away, and the pointer that names it. Whoever copies rows into it
-- stops. The intent stays: it is what refuses older ones.
--
-- KEYS: cursors, meta, live. ARGV: build, number.
-- Reply: 1 when its keys may go, 0 when another build stands under this number.

local stored = hmget(KEYS[1], { 'build' })
if stored.err then
  return refuse('cursors', stored)
elseif stored[1] and stored[1] ~= ARGV[1] then
  return 0
end
local live = pcall('GET', KEYS[3])
if type(live) == 'table' and live.err then
  return refuse('live', live)
end
local ended = pcall('HDEL', KEYS[2], 'copying')
if type(ended) == 'table' and ended.err then
  return refuse('meta', ended)
end
if live == ARGV[2] then
  call('UNLINK', KEYS[1], KEYS[3])
elseif stored[1] then
  call('UNLINK', KEYS[1])
end
return 1
