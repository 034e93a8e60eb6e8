-- SHA-256 of a short text, as 64 hexadecimal digits. Source: FIPS 180-4.
local bit = require("bit")
local band, bnot, bxor, ror, rshift, tobit = bit.band, bit.bnot, bit.bxor, bit.ror, bit.rshift, bit.tobit

-- The first 32 bits of the fractional part of a root. Doubles give them all: the whole part needs 5 bits at most.
local function fraction(value)
  return tobit(math.floor((value % 1) * 4294967296))
end

local K, START = {}, {}
do
  local candidate, count = 2, 0
  while count < 64 do
    local prime = true
    for divisor = 2, math.floor(math.sqrt(candidate)) do
      if candidate % divisor == 0 then
        prime = false
        break
      end
    end
    if prime then
      count = count + 1
      K[count] = fraction(candidate ^ (1 / 3))
      if count <= 8 then
        START[count] = fraction(math.sqrt(candidate))
      end
    end
    candidate = candidate + 1
  end
end

local W = {}

local function block(state, text, pos)
  for index = 1, 16 do
    local a, b, c, d = text:byte(pos + index * 4 - 4, pos + index * 4 - 1)
    W[index] = tobit(((a * 256 + b) * 256 + c) * 256 + d)
  end
  for index = 17, 64 do
    local x, y = W[index - 15], W[index - 2]
    local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
    local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
    W[index] = tobit(W[index - 16] + s0 + W[index - 7] + s1)
  end
  local a, b, c, d, e, f, g, h = unpack(state)
  for index = 1, 64 do
    local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
    local t1 = tobit(h + s1 + bxor(band(e, f), band(bnot(e), g)) + K[index] + W[index])
    local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
    local t2 = tobit(s0 + bxor(band(a, b), band(a, c), band(b, c)))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
  end
  local mixed = {a, b, c, d, e, f, g, h}
  for index = 1, 8 do
    state[index] = tobit(state[index] + mixed[index])
  end
end

return function(text)
  local length = #text
  local padded = text .. "\128" .. ("\0"):rep((55 - length) % 64) .. "\0\0\0\0"
    .. string.char(rshift(length * 8, 24), band(rshift(length * 8, 16), 255), band(rshift(length * 8, 8), 255),
      band(length * 8, 255))
  local state = {unpack(START)}
  for pos = 1, #padded, 64 do
    block(state, padded, pos)
  end
  local digits = {}
  for index = 1, 8 do
    digits[index] = bit.tohex(state[index])
  end
  return table.concat(digits)
end
