-- Reads a generation's cursors with what is known beside them, at one instant.
--
-- KEYS: cursors, meta. Reply: {cursors, meta}, each with fields and values in turn.

local cursors, meta = pcall('HGETALL', KEYS[1]), pcall('HGETALL', KEYS[2])
if cursors.err then
  return refuse('cursors', cursors)
elseif meta.err then
  return refuse('meta', meta)
end
return { cursors, meta }
