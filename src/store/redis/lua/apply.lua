-- Applies a batch in one step: all of it or nothing.
--
-- KEYS: cursors, meta, and the stems of row keys and of the keys of latest orders.
-- ARGV: build, packed moves, packed columns, packed rows (see `batch.rs`).
-- Reply: {applied} | {gone} | {cursors, stored…} | {held} | {changed, row…}, each with
-- its key, its columns and its orders | {overflow | corrupt, column}

local cursors, meta, row_stem, order_stem = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local build = ARGV[1]

local moves, stored_cursors, newest = read_moves(cursors, meta, build, ARGV[2])
if not moves then
  return stored_cursors
end
if not all_there(moves, stored_cursors) then
  table.insert(stored_cursors, 1, 'cursors')
  return stored_cursors
end
if held(newest.hold) then
  return { 'held' }
end

-- Columns: name, kind, scale or false, digits before the point, highest integer or false,
-- default or false, place among the key columns or false, whether it has an order, whether the
-- batch reads it.
local columns, reads, names, ordered = {}, {}, {}, {}
local key_columns = {}
for _, packed in ipairs(cmsgpack.unpack(ARGV[3])) do
  local column = {
    name = packed[1],
    kind = packed[2],
    scale = packed[3] or nil,
    digits = packed[4],
    default = packed[6],
    part = packed[7],
  }
  local highest = packed[5]
  if highest then
    column.highest = highest
    column.lowest = sub(highest, 1, -2) .. '8'
    column.top, column.bottom = tonumber(highest), -tonumber(column.lowest)
  elseif column.scale then
    column.top = 10 ^ (column.digits + column.scale) - 1
    column.bottom = -column.top
  else
    column.top, column.bottom = math.huge, -math.huge
  end
  columns[#columns + 1] = column
  column.index = #columns
  names[#names + 1] = column.name
  if column.part then
    key_columns[column.part] = column
  end
  if packed[8] then
    ordered[#ordered + 1] = column.name
    column.order = #ordered
  end
  if packed[9] then
    reads[#reads + 1] = column.name
    column.slot = #reads
  end
end
if newest.copied then
  -- Read, compared and removed with the orders, and never written.
  ordered[#ordered + 1] = PAGE
end
-- A row is there when its first key column is. Other fields tell as well, if there are any.
local mark = key_columns[1].name
if #reads == 0 then
  reads[1] = mark
end
local function is_there(row, stored)
  for i = 1, #reads do
    if stored[i] then
      return true
    end
  end
  return call('HEXISTS', row, mark) == 1
end

-- Whether `value` comes before `stored` in the order of the column's type.
local function before(column, value, stored)
  local kind = column.kind
  if kind == 'number' then
    return number_less(value, stored)
  elseif kind == 'double' then
    return tonumber(value) < tonumber(stored)
  elseif kind == 'time' then
    -- Texts of one length differ in their digits only, and those sort alike in every locale.
    if #value == #stored then
      return value < stored
    end
    -- Without its `Z`, a second sorts before its fractions.
    return bytes_less(sub(value, 1, -2), sub(stored, 1, -2))
  end
  return bytes_less(value, stored)
end

local REPLACE, REPLACE_LATEST, SET_ONCE, LATEST, ADD, MAX, MIN = 0, 1, 2, 3, 4, 5, 6

-- What an op makes of the stored value (false: null); nil and why not.
local function combine(op, column, stored, value)
  if op == ADD then
    if not value then
      return nil, 'overflow'
    end
    return add(column, stored or '0', value)
  elseif op == REPLACE or not stored then
    return value
  elseif op == MAX then
    return before(column, stored, value) and value or stored
  elseif op == MIN then
    return before(column, value, stored) and value or stored
  end
  return stored
end

local rows = cmsgpack.unpack(ARGV[4])
local at, unlinked, differing = 1, {}, { 'changed' }

-- The writes to come: commands back to back, and where each begins. One table, because a table
-- per row would cost more than the rest of its work.
local out, length, starts, commands = {}, 0, {}, 0

local function begin(verb, key)
  commands = commands + 1
  starts[commands] = length + 1
  out[length + 1], out[length + 2] = verb, key
  length = length + 2
end

-- Adds a command whose arguments were gathered; none without arguments.
local function gathered(verb, key, arguments)
  if arguments and #arguments > 0 then
    begin(verb, key)
    for i = 1, #arguments do
      out[length + i] = arguments[i]
    end
    length = length + #arguments
  end
end

-- Rows are named by their whole key, which their key text ends.
local function order_key(row)
  return order_stem .. sub(row, #row_stem + 1)
end

local function unlink(row)
  unlinked[#unlinked + 1] = row
  if #ordered > 0 then
    unlinked[#unlinked + 1] = order_key(row)
  end
end

-- Merges a cell of the latest family: whether its value is taken. Its order follows it, if it has one.
local function merge_order(op, column, orders, set, gone)
  local known, order = orders[column.order], nil
  if op == LATEST or op == REPLACE_LATEST then
    order = rows[at]
    at = at + 1
    if op == LATEST and known and bytes_less(order, known) then
      return false
    end
    set[#set + 1] = column.name
    set[#set + 1] = order
  elseif known then
    gone[#gone + 1] = column.name
  end
  return true
end

-- The row's key columns, read back from its key text.
local function set_key(row)
  local part = 0
  for text in string.gmatch(sub(row, #row_stem + 1) .. ',', '([^,]*),') do
    part = part + 1
    out[length + 1] = key_columns[part].name
    out[length + 2] = string.gsub(text, '%%(%x%x)', function(hex)
      return string.char(tonumber(hex, 16))
    end)
    length = length + 2
  end
end

-- A row that is not there yet: its defaults, changed by the cells.
local function insert(row, cells)
  local order_set, order_gone = {}, {}
  local values = {}
  for i = 1, #columns do
    values[i] = columns[i].default
  end
  for _ = 1, cells do
    local code, value = rows[at], rows[at + 1]
    at = at + 2
    local op = code % 8
    local index = (code - op) / 8 + 1
    local column = columns[index]
    local result, why = value, nil
    if column.order then
      merge_order(op, column, {}, order_set, order_gone)
    else
      result, why = combine(op, column, values[index], value)
      if why then
        return { why, column.name }
      end
    end
    values[index] = result
  end
  begin('HSET', row)
  set_key(row)
  for i = 1, #columns do
    if values[i] and not columns[i].part then
      out[length + 1], out[length + 2] = columns[i].name, values[i]
      length = length + 2
    end
  end
  if #ordered > 0 then
    -- Orders without a row are leftovers.
    unlinked[#unlinked + 1] = order_key(row)
    gathered('HSET', order_key(row), order_set)
  end
end

-- A row that is there or not: `cells` times op and column, value, and an order for latest ops.
local function upsert(row, cells)
  local stored = pcall('HMGET', row, unpack(reads))
  if stored.err then
    return refuse('row', stored)
  elseif not is_there(row, stored) then
    return insert(row, cells)
  end
  local gone, orders, order_set, order_gone
  begin('HSET', row)
  local empty = length
  for _ = 1, cells do
    local code, value = rows[at], rows[at + 1]
    at = at + 2
    local op = code % 8
    local column = columns[(code - op) / 8 + 1]
    local known = column.slot and stored[column.slot]
    local result, why = value, nil
    if column.order then
      if not orders then
        orders, order_set, order_gone = hmget(order_key(row), ordered), {}, {}
        if orders.err then
          return refuse('latest orders', orders)
        end
      end
      if not merge_order(op, column, orders, order_set, order_gone) then
        result, known = true, true
      end
    else
      result, why = combine(op, column, known, value)
      if why then
        return { why, column.name }
      end
    end
    if not result then
      gone = gone or {}
      gone[#gone + 1] = column.name
    elseif result ~= known then
      out[length + 1], out[length + 2] = column.name, result
      length = length + 2
    end
  end
  if length == empty then
    length, commands = length - 2, commands - 1
  end
  gathered('HDEL', row, gone)
  if orders then
    gathered('HSET', order_key(row), order_set)
    gathered('HDEL', order_key(row), order_gone)
  end
end

-- Compares a row with what was loaded: false, or true and all columns and orders. Gives what is
-- stored now, where it differs; or nil and the reply of a read that was refused.
local function difference(row)
  local expected = rows[at]
  at = at + 1
  local stored = hmget(row, names)
  if stored.err then
    return nil, refuse('row', stored)
  end
  if #ordered > 0 then
    local orders = hmget(order_key(row), ordered)
    if orders.err then
      return nil, refuse('latest orders', orders)
    end
    for i = 1, #ordered do
      stored[#names + i] = orders[i]
    end
  end
  local same
  if expected then
    same = true
    for i = 1, #names + #ordered do
      same = same and stored[i] == rows[at]
      at = at + 1
    end
  else
    same = not stored[key_columns[1].index]
  end
  return not same and stored
end

-- What a loaded row becomes: `count` times column and value, for the row or its orders.
local function overwrite(hash)
  local set, gone, count = {}, {}, rows[at]
  at = at + 1
  for _ = 1, count do
    local name, value = columns[rows[at] + 1].name, rows[at + 1]
    at = at + 2
    if value then
      set[#set + 1] = name
      set[#set + 1] = value
    else
      gone[#gone + 1] = name
    end
  end
  gathered('HSET', hash, set)
  gathered('HDEL', hash, gone)
end

-- A row's form: how many cells; or one of these.
local DELETE, EXPECT, EXPECT_DELETE, EXPECT_WRITE = -1, -2, -3, -4

while rows[at] do
  local row, cells = rows[at], rows[at + 1]
  at = at + 2
  if cells >= 0 then
    local refused = upsert(row, cells)
    if refused then
      return refused
    end
  elseif cells == DELETE then
    unlink(row)
  else
    local stored, refused = difference(row)
    if refused then
      return refused
    elseif stored then
      table.insert(stored, 1, row)
      differing[#differing + 1] = stored
    end
    if cells == EXPECT_DELETE then
      unlink(row)
    elseif cells == EXPECT_WRITE then
      overwrite(row)
      overwrite(order_key(row))
    end
  end
end
if #differing > 1 then
  return differing
end

local refused = probe(cursors, build)
if refused then
  return refused
end
local to_cursors, to_meta = {}, {}
for i = 1, #moves, 4 do
  move(moves, i, newest, to_cursors, to_meta)
end
gathered('HSET', cursors, to_cursors)
gathered('HSET', meta, to_meta)
-- Removals come first: the orders of a row that is created anew may be leftovers.
for first = 1, #unlinked, MOST do
  call('UNLINK', unpack(unlinked, first, math.min(first + MOST - 1, #unlinked)))
end
starts[commands + 1] = length + 1
for i = 1, commands do
  send(out, starts[i], starts[i + 1] - 1)
end
return { 'applied' }
