-- Forgets the pointer and its intent, unless a generation is there that the pointer names.
--
-- KEYS: live, intent, the stem of the projection's keys. Reply: 1, or 0 when there is one.

local named = pcall('GET', KEYS[1])
if type(named) == 'table' and named.err then
  return refuse('live', named)
elseif named and call('EXISTS', KEYS[3] .. named .. ':cursors') == 1 then
  return 0
end
call('UNLINK', KEYS[1], KEYS[2])
return 1
