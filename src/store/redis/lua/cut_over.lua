-- Lets readers see one generation instead of another, if it stands where the other one stands.
--
-- KEYS: live, intent, cursors and meta of what readers see, cursors of what they shall see.
-- ARGV: number and build of the first, number and build of the second, intent, packed targets
-- (field and position in turn), and `hold` for the first attempt, `wait` for those after it.
-- Reply: {done} | {later, intent} | {names, number} | {used, number} | {gone, number} | {lacking,
-- whether batches are held, and per partition its field, the second generation's position and
-- the first one's or the target, false where there is none, and whether it is a target}
--
-- Only a reply of {lacking} may have written something: the hold, which ends by itself.

local live, intent, meta = KEYS[1], KEYS[2], KEYS[4]
local number, wanted = ARGV[3], ARGV[5]

-- A generation that stands further behind does not come level while batches wait.
local NEAR = 100000

local to, refused = positions(KEYS[5])
if not to then
  return refused
end
local from
from, refused = positions(KEYS[3])
if not from then
  return refused
end
local named, known = pcall('GET', live), pcall('GET', intent)
if type(named) == 'table' and named.err then
  return refuse('live', named)
elseif type(known) == 'table' and known.err then
  return refuse('intent', known)
end
local stored = hmget(meta, { 'hold' })
if stored.err then
  return refuse('meta', stored)
end

if known and number_less(wanted, known) then
  return { 'later', known }
elseif to.build ~= ARGV[4] then
  return { 'gone', number }
elseif named == number and known == wanted then
  return { 'done' }
elseif named and known == wanted then
  return { 'used', named }
elseif named and named ~= ARGV[1] and named ~= number then
  return { 'names', named }
elseif named ~= number and from.build ~= ARGV[2] then
  return { 'gone', ARGV[1] }
end

-- What stands in the way; and whether it is only a distance that batches which wait can close.
local lacking, distance, near = {}, 0, true

local function compare(field, wants, target)
  local at = to.at[field]
  if not (at and wants) or number_less(at, wants) then
    lacking[#lacking + 1] = { field, at or false, wants or false, target or false }
    if at and wants and not target then
      distance = distance + tonumber(wants) - tonumber(at)
    else
      -- What only the new one reads comes no nearer while others wait.
      near = false
    end
  end
end

-- Where the pointer need not move, nobody sees anything else.
if named ~= number then
  for field, at in pairs(from.at) do
    if to.topics[string.match(field, '^(.+)/')] then
      compare(field, at)
    end
  end
  for field in pairs(to.at) do
    if from.topics[string.match(field, '^(.+)/')] and not from.at[field] then
      compare(field, nil)
    end
  end
  local targets = cmsgpack.unpack(ARGV[6])
  for i = 1, #targets, 2 do
    compare(targets[i], targets[i + 1], 'target')
  end
end

if #lacking == 0 then
  call('MSET', intent, wanted, live, number)
  call('HDEL', meta, 'hold')
  return { 'done' }
end
local holds = near and distance <= NEAR
if ARGV[7] == 'hold' and holds then
  call('HSET', meta, 'hold', format('%.0f', now() + HOLD))
elseif not (holds and held(stored[1])) then
  holds = false
  call('HDEL', meta, 'hold')
end
table.insert(lacking, 1, holds and 1 or 0)
table.insert(lacking, 1, 'lacking')
return lacking
