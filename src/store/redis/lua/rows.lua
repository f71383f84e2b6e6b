-- Reading whole rows.

-- The fields of a row and of its orders; the page of a copied row comes last.
local function row_fields(names, ordered, copied)
  names, ordered = cmsgpack.unpack(names), cmsgpack.unpack(ordered)
  if copied then
    ordered[#ordered + 1] = PAGE
  end
  return names, ordered
end

-- What a row's hashes hold, in the order of the fields, false where there is none; or nil and
-- the reply of a read that was refused.
local function read_row(row_key, order_key, names, ordered)
  local row = hmget(row_key, names)
  if row.err then
    return nil, refuse('row', row)
  end
  if #ordered > 0 then
    local orders = hmget(order_key, ordered)
    if orders.err then
      return nil, refuse('latest orders', orders)
    end
    for i = 1, #ordered do
      row[#names + i] = orders[i]
    end
  end
  return row
end
