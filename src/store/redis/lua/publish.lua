-- Lets readers see a generation, unless a later intent was seen.
--
-- KEYS: live, intent, cursors. ARGV: build, number, intent.
-- Reply: published | kept (this or a later intent stands) | gone (there is no such build)

local live, intent, cursors = KEYS[1], KEYS[2], KEYS[3]
local stored = hmget(cursors, { 'build' })
if stored.err then
  return refuse('cursors', stored)
elseif stored[1] ~= ARGV[1] then
  return 'gone'
end
local named, known = pcall('GET', live), pcall('GET', intent)
if type(named) == 'table' and named.err then
  return refuse('live', named)
elseif type(known) == 'table' and known.err then
  return refuse('intent', known)
end
if known and number_less(ARGV[3], known) then
  return 'kept'
elseif known == ARGV[3] and named then
  return 'kept'
end
call('MSET', intent, ARGV[3], live, ARGV[2])
return 'published'
