-- Reads the pages with which a generation was copied.
--
-- KEYS: cursors, pages. ARGV: build. Reply: numbers and positions in turn, none when there is no
-- such build.

local stored = hmget(KEYS[1], { 'build' })
if stored.err then
  return refuse('cursors', stored)
elseif stored[1] ~= ARGV[1] then
  return {}
end
local pages = pcall('HGETALL', KEYS[2])
if pages.err then
  return refuse('pages', pages)
end
return pages
