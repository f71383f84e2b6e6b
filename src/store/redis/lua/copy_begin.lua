-- Begins a copy of a generation: an empty first page, read before any key is looked for.
--
-- KEYS: cursors of the original; cursors, meta and pages of the copy.
-- ARGV: build of the original, build of the copy, the id of this attempt.
-- Reply: begun | there (the copy is complete) | other (another build) | gone (no such original) |
-- leftovers (an earlier attempt; it is ended, and its keys have to go first)

local meta = KEYS[3]
local stored = hmget(KEYS[2], { 'build' })
if stored.err then
  return refuse('cursors', stored)
elseif stored[1] then
  return stored[1] == ARGV[2] and 'there' or 'other'
end
local from, refused = positions(KEYS[1])
if not from then
  return refused
elseif from.build ~= ARGV[1] then
  return 'gone'
elseif call('EXISTS', meta) == 1 then
  call('HSET', meta, 'copying', ARGV[3])
  return 'leftovers'
end
call('HSET', meta, 'build', ARGV[2], 'copying', ARGV[3])
call('HSET', KEYS[4], '1', line(from.at))
return 'begun'
