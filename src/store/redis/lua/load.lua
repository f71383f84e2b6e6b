-- Reads rows at one instant, while the cursors are where the moves begin.
--
-- KEYS: cursors, meta, the stems of row keys and of the keys of latest orders.
-- ARGV: build, packed moves (perhaps none), packed column names, packed names of columns with
-- an order, packed keys.
-- Reply: {rows, row…}, a row being false or its columns, then its orders | {gone} | {cursors, stored…}

local moves, stored = read_moves(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
if not moves then
  return stored
end
if not all_there(moves, stored) then
  table.insert(stored, 1, 'cursors')
  return stored
end
local names, ordered = cmsgpack.unpack(ARGV[3]), cmsgpack.unpack(ARGV[4])
local reply = { 'rows' }
for _, key in ipairs(cmsgpack.unpack(ARGV[5])) do
  local row = hmget(KEYS[3] .. key, names)
  if row.err then
    return refuse('row', row)
  end
  if #ordered > 0 then
    local orders = hmget(KEYS[4] .. key, ordered)
    if orders.err then
      return refuse('latest orders', orders)
    end
    for i = 1, #ordered do
      row[#names + i] = orders[i]
    end
  end
  reply[#reply + 1] = row
end
return reply
