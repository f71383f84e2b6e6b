-- Exact sums of canonical decimal texts.

local POWERS, FORMATS = { [0] = 1 }, { [0] = '%.0f' }
for i = 1, 16 do
  POWERS[i] = POWERS[i - 1] * 10
  FORMATS[i] = '%.' .. i .. 'f'
end

-- How many digits are added at once; their sum is exact in a double.
local CHUNK = 14

-- The sum of two digit strings of equal length.
local function add_digits(a, b)
  local out, carry = '', 0
  for last = #a, 1, -CHUNK do
    local first = math.max(1, last - CHUNK + 1)
    local width = last - first + 1
    local sum = tonumber(sub(a, first, last)) + tonumber(sub(b, first, last)) + carry
    carry = 0
    if sum >= POWERS[width] then
      sum, carry = sum - POWERS[width], 1
    end
    out = format('%0' .. width .. '.0f', sum) .. out
  end
  return carry == 1 and '1' .. out or out
end

-- The difference of two digit strings of equal length, of which `a` is the greater.
local function subtract_digits(a, b)
  local out, borrow = '', 0
  for last = #a, 1, -CHUNK do
    local first = math.max(1, last - CHUNK + 1)
    local width = last - first + 1
    local rest = tonumber(sub(a, first, last)) - tonumber(sub(b, first, last)) - borrow
    borrow = 0
    if rest < 0 then
      rest, borrow = rest + POWERS[width], 1
    end
    out = format('%0' .. width .. '.0f', rest) .. out
  end
  return out
end

-- How many digits stand behind the point.
local function places(text)
  local point = find(text, '.', 1, true)
  return point and #text - point or 0
end

-- Without zeros at the end of the fraction.
local function trimmed(text)
  if find(text, '.', 1, true) then
    text = string.gsub(text, '0+$', '')
    text = string.gsub(text, '%.$', '')
  end
  return text
end

-- The sum of `a` and `b` of any length: sign, digits before and behind the point.
local function long_sum(a, b)
  local a_negative, a_whole, a_fraction = parts(a)
  local b_negative, b_whole, b_fraction = parts(b)
  if not (a_whole and b_whole) then
    return nil
  end
  local whole = math.max(#a_whole, #b_whole)
  local fraction = math.max(#a_fraction, #b_fraction)
  local function level(w, f)
    return string.rep('0', whole - #w) .. w .. f .. string.rep('0', fraction - #f)
  end
  local x, y = level(a_whole, a_fraction), level(b_whole, b_fraction)
  local negative, digits = a_negative, nil
  if a_negative == b_negative then
    digits = add_digits(x, y)
  elseif bytes_less(x, y) then
    negative, digits = b_negative, subtract_digits(y, x)
  else
    digits = subtract_digits(x, y)
  end
  if not find(digits, '[1-9]') then
    negative = false
  end
  local left = string.gsub(sub(digits, 1, #digits - fraction), '^0+', '')
  return negative, left == '' and '0' or left, sub(digits, #digits - fraction + 1)
end

-- The canonical sum of the canonical texts `a` and `b` in `column`; nil and why not.
--
-- Up to 15 characters, a number is an integer below 10^15 once it is scaled: `text * 10^scale`
-- is less than 0.3 away from it, the sum of two is exact, and dividing by `10^scale` keeps all
-- digits that are printed. So the short way is exact, too.
local function add(column, a, b)
  local fixed = column.scale
  local scale = fixed or math.max(places(a), places(b))
  local most = fixed and 15 or 15 - scale
  if scale <= 15 and #a <= most and #b <= most then
    local x, y = tonumber(a), tonumber(b)
    if not (x and y) then
      return nil, 'corrupt'
    end
    if scale > 0 then
      local power = POWERS[scale]
      x, y = floor(x * power + 0.5), floor(y * power + 0.5)
    end
    local sum = x + y
    if sum > column.top or sum < column.bottom then
      return nil, 'overflow'
    end
    local text = format(FORMATS[scale], sum / POWERS[scale])
    return fixed and text or trimmed(text)
  end
  local negative, whole, fraction = long_sum(a, b)
  if negative == nil then
    return nil, 'corrupt'
  end
  if whole ~= '0' and #whole > column.digits then
    return nil, 'overflow'
  end
  local limit = negative and column.lowest or column.highest
  if limit and #whole == #limit and bytes_less(limit, whole) then
    return nil, 'overflow'
  end
  local text = (negative and '-' or '') .. whole .. (fraction ~= '' and '.' .. fraction or '')
  return fixed and text or trimmed(text)
end
