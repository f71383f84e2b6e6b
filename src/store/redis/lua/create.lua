-- Creates a generation: its build id and a cursor per start position.
--
-- KEYS: cursors, meta, live. ARGV: build, number, packed fields and cursors in turn.
-- Reply: created | there (the same build) | other (another build) | leftovers (an earlier
-- generation of this number lost its identity or never got one; its keys have to go first)

local cursors, meta, live = KEYS[1], KEYS[2], KEYS[3]
local stored = hmget(cursors, { 'build' })
if stored.err then
  return refuse('cursors', stored)
elseif stored[1] then
  return stored[1] == ARGV[1] and 'there' or 'other'
elseif call('EXISTS', meta) == 1 then
  -- Whoever copies rows into it stops.
  call('HDEL', meta, 'copying')
  return 'leftovers'
end
local named = pcall('GET', live)
if type(named) == 'table' and named.err then
  return refuse('live', named)
end
local starts = cmsgpack.unpack(ARGV[3])
local command = { 'HSET', cursors, 'build', ARGV[1] }
for i = 1, #starts do
  command[#command + 1] = starts[i]
end
-- What readers saw under this number is gone: what is created here is not published yet.
if named == ARGV[2] then
  call('UNLINK', live)
end
call('HSET', meta, 'build', ARGV[1])
send(command, 1, #command)
return 'created'
