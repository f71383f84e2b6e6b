-- Moves cursors, each for itself.
--
-- KEYS: cursors, meta. ARGV: build, packed moves.
-- Reply: {gone} | {cursors, stored before…} | {held, stored…}: nothing was moved

local cursors, meta, build = KEYS[1], KEYS[2], ARGV[1]
local moves, stored, newest = read_moves(cursors, meta, build, ARGV[2])
if not moves then
  return stored
end
if held(newest.hold) then
  table.insert(stored, 1, 'held')
  return stored
end
local to_cursors, to_meta = { 'HSET', cursors }, { 'HSET', meta }
for i = 1, #moves, 4 do
  if stored[(i + 3) / 4] == moves[i + 1] then
    move(moves, i, newest, to_cursors, to_meta)
  end
end
if #to_cursors > 2 then
  local refused = probe(cursors, build)
  if refused then
    return refused
  end
  send(to_cursors, 1, #to_cursors)
  if #to_meta > 2 then
    send(to_meta, 1, #to_meta)
  end
end
table.insert(stored, 1, 'cursors')
return stored
