-- Reads which generation readers see.
--
-- KEYS: live, intent. Reply: {number or false, intent or false}

local named, known = pcall('GET', KEYS[1]), pcall('GET', KEYS[2])
if type(named) == 'table' and named.err then
  return refuse('live', named)
elseif type(known) == 'table' and known.err then
  return refuse('intent', known)
end
return { named, known }
