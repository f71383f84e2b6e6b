-- In front of every script of the Redis store.
--
-- A script first reads and checks everything, then only writes: a script is isolated,
-- but what it wrote before an error stays. Row keys are computed inside (all keys of a
-- projection share one hash slot by their hash tag).

local call, pcall = redis.call, redis.pcall
local byte, find, format, sub = string.byte, string.find, string.format, string.sub
local floor = math.floor
local tonumber, unpack = tonumber, unpack

-- Lua's stack takes about 8,000 values: no call gets more than this.
local MOST = 7000

-- For how many microseconds live batches may wait for a cutover.
local HOLD = 200000

-- Where the orders of a copied row say with which page it was copied; no column is named so.
local PAGE = '#page'

-- The reply for a read that failed, naming what the key should have been.
local function refuse(kind, reply)
  if find(reply.err, 'WRONGTYPE', 1, true) then
    return redis.error_reply('WRONGTYPE ' .. kind)
  end
  return reply
end

-- HMGET of any number of fields; check `err`, as with any pcall.
local function hmget(key, fields)
  if #fields <= MOST then
    return pcall('HMGET', key, unpack(fields))
  end
  local all = {}
  for first = 1, #fields, MOST do
    local last = math.min(first + MOST - 1, #fields)
    local part = pcall('HMGET', key, unpack(fields, first, last))
    if part.err then
      return part
    end
    for i = 1, last - first + 1 do
      all[first + i - 1] = part[i]
    end
  end
  return all
end

-- Runs the write that stands in `list` from `first` to `last` (command, key, argument…), in
-- pieces of an even number of arguments.
local function send(list, first, last)
  if last - first < MOST then
    return call(unpack(list, first, last))
  end
  for i = first + 2, last, MOST do
    call(list[first], list[first + 1], unpack(list, i, math.min(i + MOST - 1, last)))
  end
end

-- Writes that change nothing: whatever refuses writes (memory, a replica, a disk error, an
-- access rule) refuses these, while nothing is written yet. The reply of the first refusal.
local function probe(cursors, build)
  for _, command in ipairs({
    { 'HSET', cursors, 'build', build },
    { 'HDEL', cursors, '' },
    { 'UNLINK', cursors .. ':none' },
  }) do
    local reply = pcall(unpack(command))
    if type(reply) == 'table' and reply.err then
      return reply
    end
  end
end

-- Whether text `a` sorts before `b` bytewise. Lua's own `<` depends on the server's locale.
local function bytes_less(a, b)
  local shorter = math.min(#a, #b)
  for i = 1, shorter, 4 do
    local a1, a2, a3, a4 = byte(a, i, i + 3)
    local b1, b2, b3, b4 = byte(b, i, i + 3)
    if a1 ~= b1 then
      return a1 < b1
    elseif a2 ~= b2 then
      return (a2 or -1) < (b2 or -1)
    elseif a3 ~= b3 then
      return (a3 or -1) < (b3 or -1)
    elseif a4 ~= b4 then
      return (a4 or -1) < (b4 or -1)
    end
  end
  return #a < #b
end

-- The parts of a canonical decimal: whether it is negative, digits before and behind the point.
local function parts(text)
  local sign, whole, fraction = string.match(text, '^(-?)(%d+)%.?(%d*)$')
  return sign == '-', whole, fraction
end

-- Whether the canonical number `a` is less than `b` (of the same column). Texts of up to 15
-- characters are told apart by doubles, longer ones digit by digit.
local function number_less(a, b)
  if #a <= 15 and #b <= 15 then
    return tonumber(a) < tonumber(b)
  end
  local a_negative, a_whole, a_fraction = parts(a)
  local b_negative, b_whole, b_fraction = parts(b)
  if a_negative ~= b_negative then
    return a_negative
  end
  if a_negative then
    a_whole, b_whole = b_whole, a_whole
    a_fraction, b_fraction = b_fraction, a_fraction
  end
  if #a_whole ~= #b_whole then
    return #a_whole < #b_whole
  elseif a_whole ~= b_whole then
    return bytes_less(a_whole, b_whole)
  end
  return bytes_less(a_fraction, b_fraction)
end

-- Reads the cursors of packed moves (four entries each: field, what is expected there, what it
-- becomes, newest event time or false). Gives the moves, the stored cursor per move and the
-- stored newest times, with `copied` (by how many pages) and `hold` beside them; or nil and the
-- reply: ours to return when the build is absent.
local function read_moves(cursors, meta, build, packed)
  local moves = cmsgpack.unpack(packed)
  local fields, times = { 'build' }, {}
  for i = 1, #moves, 4 do
    fields[#fields + 1] = moves[i]
    times[#times + 1] = 'newest ' .. moves[i]
  end
  local stored = hmget(cursors, fields)
  if stored.err then
    return nil, refuse('cursors', stored)
  elseif stored[1] ~= build then
    return nil, { 'gone' }
  end
  table.remove(stored, 1)
  times[#times + 1] = 'copied'
  times[#times + 1] = 'hold'
  local newest = hmget(meta, times)
  if newest.err then
    return nil, refuse('meta', newest)
  end
  newest.copied, newest.hold = newest[#times - 1], newest[#times]
  return moves, stored, newest
end

-- Whether every cursor is where its move begins.
local function all_there(moves, stored)
  for i = 1, #moves, 4 do
    if stored[(i + 3) / 4] ~= moves[i + 1] then
      return false
    end
  end
  return true
end

-- The server's time in microseconds.
local function now()
  local time = call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Whether batches wait for a cutover. A hold that lies further ahead than holds last was set
-- by a clock that has gone back since.
local function held(hold)
  if not hold then
    return false
  end
  local left = tonumber(hold) - now()
  return left > 0 and left <= HOLD
end

-- Adds a move to the fields and values to set in the cursors and in what is known beside them.
local function move(moves, i, newest, to_cursors, to_meta)
  to_cursors[#to_cursors + 1] = moves[i]
  to_cursors[#to_cursors + 1] = moves[i + 2]
  local time, known = moves[i + 3], newest[(i + 3) / 4]
  if time and not (known and not number_less(known, time)) then
    to_meta[#to_meta + 1] = 'newest ' .. moves[i]
    to_meta[#to_meta + 1] = time
  end
end
