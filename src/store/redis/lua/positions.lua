-- Where generations stand.

-- What a generation's cursors hold: `build`, `at` (field → position as text), and `topics`, the
-- set of topics that it reads; or nil and the reply of a read that was refused.
local function positions(cursors)
  local fields = pcall('HGETALL', cursors)
  if fields.err then
    return nil, refuse('cursors', fields)
  end
  local all = { at = {}, topics = {} }
  for i = 1, #fields, 2 do
    local field, text = fields[i], fields[i + 1]
    local topic = string.match(field, '^(.+)/')
    if topic then
      all.at[field] = string.match(text, '^(%-?%d+):')
      all.topics[topic] = true
    elseif field == 'build' then
      all.build = text
    end
  end
  return all
end

-- Positions as one text: `topic/partition:position`, separated by spaces.
local function line(at)
  local all = {}
  for field, position in pairs(at) do
    all[#all + 1] = field .. ':' .. position
  end
  return table.concat(all, ' ')
end
