-- Reads rows of two generations with both their cursors, at one instant.
--
-- KEYS: cursors, meta, stems of row keys and of the keys of latest orders, of the first, then of
-- the second generation. ARGV: build, packed column names and packed names of columns with an
-- order, of the first, then of the second; packed keys; 1 to leave out what the first one holds.
-- Reply: {gone} | {page, cursors, meta, cursors, meta, row…}: a pair of rows as `load` gives them,
-- or false where one was left out

local reply = { 'page' }
local fields = {}
for side = 0, 1 do
  local cursors, meta = pcall('HGETALL', KEYS[4 * side + 1]), pcall('HGETALL', KEYS[4 * side + 2])
  if cursors.err then
    return refuse('cursors', cursors)
  elseif meta.err then
    return refuse('meta', meta)
  end
  local build, copied
  for i = 1, #cursors, 2 do
    build = cursors[i] == 'build' and cursors[i + 1] or build
  end
  for i = 1, #meta, 2 do
    copied = copied or meta[i] == 'copied'
  end
  if build ~= ARGV[3 * side + 1] then
    return { 'gone' }
  end
  reply[2 * side + 2], reply[2 * side + 3] = cursors, meta
  local names, ordered = row_fields(ARGV[3 * side + 2], ARGV[3 * side + 3], copied)
  fields[side] = { names, ordered }
end
for _, key in ipairs(cmsgpack.unpack(ARGV[7])) do
  local pair = false
  if ARGV[8] ~= '1' or call('EXISTS', KEYS[3] .. key) == 0 then
    pair = {}
    for side = 0, 1 do
      local row_key, order_key = KEYS[4 * side + 3] .. key, KEYS[4 * side + 4] .. key
      local row, refused = read_row(row_key, order_key, fields[side][1], fields[side][2])
      if not row then
        return refused
      end
      pair[side + 1] = row
    end
  end
  reply[#reply + 1] = pair
end
return reply
