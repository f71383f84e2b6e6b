-- Begins a copy of a generation: an empty first page, read before any key is looked for.
--
-- KEYS: cursors and meta of the original; cursors, meta and pages of the copy.
-- ARGV: build of the original, build of the copy, the id of this attempt.
-- Reply: begun | there (the copy is complete) | other (another build) | gone (no such original) |
-- leftovers (an earlier attempt; it is ended, and its keys have to go first)

local meta = KEYS[4]
local stored = hmget(KEYS[3], { 'build' })
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
local known = pcall('HGETALL', KEYS[2])
if known.err then
  return refuse('meta', known)
end
-- What the original has applied, the copy reflects as well: also how new it is.
local command = { 'HSET', meta, 'build', ARGV[2], 'copying', ARGV[3] }
for i = 1, #known, 2 do
  if find(known[i], 'newest ', 1, true) then
    command[#command + 1] = known[i]
    command[#command + 1] = known[i + 1]
  end
end
send(command, 1, #command)
call('HSET', KEYS[5], '1', line(from.at))
return 'begun'
