-- Takes over a cursor, if its claim still is the one that was read.
--
-- KEYS: cursors, meta. ARGV: build, field, claim read, new claim.
-- Reply: {ours, position} | {lost} | {gone}

local cursors, meta = KEYS[1], KEYS[2]
local stored = hmget(cursors, { 'build', ARGV[2] })
if stored.err then
  return refuse('cursors', stored)
elseif stored[1] ~= ARGV[1] or not stored[2] then
  return { 'gone' }
end
local position, claim = string.match(stored[2], '^(%-?%d+):(.*)$')
if claim == ARGV[4] then
  return { 'ours', position }
elseif claim ~= ARGV[3] then
  return { 'lost' }
end
-- The count comes first: it may be refused, and then nothing was written.
local counted = pcall('HINCRBY', meta, 'epoch ' .. ARGV[2], 1)
if type(counted) == 'table' then
  return refuse('meta', counted)
end
call('HSET', cursors, ARGV[2], position .. ':' .. ARGV[4])
return { 'ours', position }
