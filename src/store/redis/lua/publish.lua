-- Lets readers see a generation, unless a later intent was seen, or it stands behind the one
-- that they see.
--
-- KEYS: live, intent, cursors, the stem of the projection's keys. ARGV: build, number, intent.
-- Reply: published | kept (this or a later intent stands) | gone (there is no such build) | behind

local live, intent = KEYS[1], KEYS[2]
local own, refused = positions(KEYS[3])
if not own then
  return refused
elseif own.build ~= ARGV[1] then
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
if named and named ~= ARGV[2] then
  local shown
  shown, refused = positions(KEYS[4] .. named .. ':cursors')
  if not shown then
    return refused
  end
  for field, at in pairs(shown.at) do
    if own.at[field] and number_less(own.at[field], at) then
      return 'behind'
    end
  end
end
call('MSET', intent, ARGV[3], live, ARGV[2])
return 'published'
