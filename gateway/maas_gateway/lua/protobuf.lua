-- Reading protobuf out of Envoy's buffer through a window, so that large tensors are stepped over and never copied.
-- Source: protobuf.dev/programming-guides/encoding.
local refuse = require("maas.refusal").refuse
local utf8 = require("maas.utf8")

local protobuf = {}
local byte = string.byte

local WINDOW_BYTES = 4096
-- Of one message, with those in it. Each costs time in which nobody else is served.
local FIELDS = 50000

-- The buffer being read, and the part of it that lies in a Lua string. One for all: nothing yields while it is read.
local buffer, text, base, size, fields = nil, "", 0, 0, 0

local function bad()
  refuse(400, "protobuf", "the gRPC message is no valid protobuf of this method")
end

-- Begins with the buffer `body`; positions count its bytes from 0.
function protobuf.open(body)
  buffer, base, size, fields = body, 0, body:length(), 0
  text = buffer:getBytes(0, size < WINDOW_BYTES and size or WINDOW_BYTES)
  return size
end

-- Ends: drops what would keep the last request in memory.
function protobuf.close()
  buffer, text = nil, ""
end

-- Makes the `count` bytes from `pos` lie in the window.
local function reach(pos, count)
  if pos < base or pos + count > base + #text then
    local left = size - pos
    base = pos
    if count < WINDOW_BYTES then
      count = WINDOW_BYTES
    end
    text = buffer:getBytes(pos, left < count and left or count)
  end
end

-- The varint at `pos` as a double (exact to 2^53; negative numbers come out above 2^63), and the position behind it.
local function varint(pos, last)
  local value, scale = 0, 1
  for at = pos, pos + 9 do
    if at >= last then
      bad()
    end
    if at < base or at >= base + #text then
      reach(at, 1)
    end
    local part = byte(text, at - base + 1)
    if part < 128 then
      return value + part * scale, at + 1
    end
    value = value + (part - 128) * scale
    scale = scale * 128
  end
  bad()
end

-- The next field before `last`: number, wire type, value (the number of a varint, else the position of the first byte),
-- position behind it.
local function field(pos, last)
  fields = fields + 1
  if fields > FIELDS then
    refuse(400, "fields", "the gRPC message has more than " .. FIELDS .. " fields; send tensors as raw_input_contents")
  end
  local key, at = varint(pos, last)
  local wire = key % 8
  local number = (key - wire) / 8
  if number < 1 or number > 536870911 then
    bad()
  end
  if wire == 0 then
    local value, after = varint(at, last)
    return number, wire, value, after
  elseif wire == 2 then
    local length, first = varint(at, last)
    if length > last - first then
      bad()
    end
    return number, wire, first, first + length
  end
  local length = wire == 1 and 8 or wire == 5 and 4 or bad()
  if at + length > last then
    bad()
  end
  return number, wire, at, at + length
end

-- The bytes from `first` to before `after`, at most `most` of them.
local function bytes(first, after, most, what)
  if after - first > most then
    refuse(400, "name", what .. " is longer than " .. most .. " bytes")
  end
  reach(first, after - first)
  return text:sub(first - base + 1, after - base)
end

-- The same for a field that is a string, whose bytes must be UTF-8.
local function text_of(first, after, most, what)
  local found = bytes(first, after, most, what)
  if not utf8.is_valid(found) then
    bad()
  end
  return found
end

-- The byte at `pos`.
function protobuf.byte(pos)
  reach(pos, 1)
  return byte(text, pos - base + 1)
end

-- The varint at `pos` in decimal digits, exact to 64 bits: correlation ids differ in their last digits.
local function digits(pos, last)
  local value, scale = 0ULL, 1ULL
  for at = pos, pos + 9 do
    if at >= last then
      bad()
    end
    reach(at, 1)
    local part = byte(text, at - base + 1)
    value = value + (part % 128) * scale
    if part < 128 then
      return (tostring(value):gsub("ULL$", ""))
    end
    scale = scale * 128ULL
  end
  bad()
end

protobuf.field, protobuf.bytes, protobuf.text, protobuf.varint = field, bytes, text_of, varint
protobuf.digits, protobuf.bad = digits, bad

return protobuf
