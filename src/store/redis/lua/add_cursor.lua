-- Adds the cursor of a partition to a generation that is there.
--
-- KEYS: cursors. ARGV: build, field, cursor. Reply: 1, or 0 when there is no such build.

local stored = hmget(KEYS[1], { 'build' })
if stored.err then
  return refuse('cursors', stored)
elseif stored[1] ~= ARGV[1] then
  return 0
end
call('HSETNX', KEYS[1], ARGV[2], ARGV[3])
return 1
