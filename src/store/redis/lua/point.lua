-- Reads a row of the live generation with its cursors, at one instant.
--
-- KEYS: live, the stem of the projection's keys. ARGV: row key.
-- Reply: {} when nothing is published, else {number, row, orders, cursors, meta}, each of the
-- last four with fields and values in turn.

local live = pcall('GET', KEYS[1])
if type(live) == 'table' then
  return refuse('live', live)
elseif not live then
  return {}
end
local reply = { live }
for _, part in ipairs({
  { ':r:' .. ARGV[1], 'row' },
  { ':o:' .. ARGV[1], 'latest orders' },
  { ':cursors', 'cursors' },
  { ':meta', 'meta' },
}) do
  local fields = pcall('HGETALL', KEYS[2] .. live .. part[1])
  if fields.err then
    return refuse(part[2], fields)
  end
  reply[#reply + 1] = fields
end
return reply
