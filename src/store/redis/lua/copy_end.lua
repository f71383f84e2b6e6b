-- Gives a complete copy its identity and its cursors: those of its first page.
--
-- KEYS: cursors, meta and pages of the copy, live. ARGV: build, the id of this attempt, number, how
-- many pages, packed fields and cursors in turn that stand elsewhere. Reply: created | overtaken (another attempt began)

local cursors, meta, live = KEYS[1], KEYS[2], KEYS[4]
local stored, begun = hmget(meta, { 'copying' }), hmget(KEYS[3], { '1' })
if stored.err then
  return refuse('meta', stored)
elseif begun.err then
  return refuse('pages', begun)
elseif stored[1] ~= ARGV[2] or not begun[1] or call('EXISTS', cursors) == 1 then
  return 'overtaken'
end
local named = pcall('GET', live)
if type(named) == 'table' and named.err then
  return refuse('live', named)
end
local command = { 'HSET', cursors, 'build', ARGV[1] }
for field, position in string.gmatch(begun[1], '(%S+):(%-?%d+)') do
  command[#command + 1] = field
  command[#command + 1] = position .. ':'
end
for _, text in ipairs(cmsgpack.unpack(ARGV[5])) do
  command[#command + 1] = text
end
call('HSET', meta, 'copied', ARGV[4])
-- What readers saw under this number is gone: what is created here is not published yet.
if named == ARGV[3] then
  call('UNLINK', live)
end
call('HDEL', meta, 'copying')
send(command, 1, #command)
return 'created'
