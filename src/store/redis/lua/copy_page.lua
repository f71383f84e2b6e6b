-- Copies some rows, as they are at the instant whose positions are written down as their page.
--
-- KEYS: cursors of the original, meta and pages of the copy; the stems of row keys and of the keys
-- of latest orders, of the original, then of the copy.
-- ARGV: build of the original, the id of this attempt, the page's number, packed names of the
-- columns that are copied (a key column first) and of those with an order, packed names and
-- defaults of new columns in turn, packed keys.
-- Reply: how many rows were copied, or gone (no such original) | overtaken (another attempt began)

local meta = hmget(KEYS[2], { 'copying' })
if meta.err then
  return refuse('meta', meta)
elseif meta[1] ~= ARGV[2] then
  return 'overtaken'
end
local from, refused = positions(KEYS[1])
if not from then
  return refused
elseif from.build ~= ARGV[1] then
  return 'gone'
end

local names, ordered = row_fields(ARGV[4], ARGV[5], false)
local defaults, keys = cmsgpack.unpack(ARGV[6]), cmsgpack.unpack(ARGV[7])
local unlinked, commands, copied = {}, {}, 0

-- The command that writes what is there of `fields`.
local function write(key, fields, values, offset)
  local command = { 'HSET', key }
  for i = 1, #fields do
    local value = values[offset + i]
    if value then
      command[#command + 1] = fields[i]
      command[#command + 1] = value
    end
  end
  commands[#commands + 1] = command
  return command
end

for _, key in ipairs(keys) do
  local row
  row, refused = read_row(KEYS[4] .. key, KEYS[5] .. key, names, ordered)
  if not row then
    return refused
  end
  -- Also what has vanished: an earlier page may have copied it.
  unlinked[#unlinked + 1] = KEYS[6] .. key
  unlinked[#unlinked + 1] = KEYS[7] .. key
  if row[1] then
    copied = copied + 1
    local values = write(KEYS[6] .. key, names, row, 0)
    for i = 1, #defaults do
      values[#values + 1] = defaults[i]
    end
    local orders = write(KEYS[7] .. key, ordered, row, #names)
    orders[#orders + 1] = PAGE
    orders[#orders + 1] = ARGV[3]
  end
end

call('HSET', KEYS[3], ARGV[3], line(from.at))
for first = 1, #unlinked, MOST do
  call('UNLINK', unpack(unlinked, first, math.min(first + MOST - 1, #unlinked)))
end
for _, command in ipairs(commands) do
  send(command, 1, #command)
end
return copied
