-- Reads rows at one instant, while the cursors are where the moves begin.
--
-- KEYS: cursors, meta, the stems of row keys and of the keys of latest orders.
-- ARGV: build, packed moves (perhaps none), packed column names, packed names of columns with
-- an order, packed keys.
-- Reply: {rows, row…}, a row being its columns, then its orders, then the page
-- with which it was copied where the generation is a copy | {gone} | {cursors, stored…}

local moves, stored, newest = read_moves(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
if not moves then
  return stored
end
if not all_there(moves, stored) then
  table.insert(stored, 1, 'cursors')
  return stored
end
local names, ordered = row_fields(ARGV[3], ARGV[4], newest.copied)
local reply = { 'rows' }
for _, key in ipairs(cmsgpack.unpack(ARGV[5])) do
  local row, refused = read_row(KEYS[3] .. key, KEYS[4] .. key, names, ordered)
  if not row then
    return refused
  end
  reply[#reply + 1] = row
end
return reply
