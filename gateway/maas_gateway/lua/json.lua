-- A strict reader of JSON that builds nothing: each function takes a text and a position, checks what stands there and
-- returns the position behind it. What passes has the same structure for every other reader. Source: RFC 8259.
local refuse = require("maas.refusal").refuse

local numbers = require("maas.numbers")
local utf8 = require("maas.utf8")

local json = {}
local byte, find, sub = string.byte, string.find, string.sub

local QUOTE, BACKSLASH, COMMA, COLON = 34, 92, 44, 58
local OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125
-- Numbers of fewer digits, with an exponent of so few digits, are finite: the largest double has 309 digits.
local LONG, LONG_EXPONENT = 200, 2
local VALUE, WHOLE, EXPONENT = numbers.VALUE, numbers.WHOLE, numbers.EXPONENT
local LITERALS = {[116] = "true", [102] = "false", [110] = "null"}

local function bad(what, pos)
  refuse(400, "json", "the JSON is not valid: " .. what .. " at byte " .. pos)
end

-- Position of the next character that is no white space, and that character.
local function solid(text, pos)
  local char = byte(text, pos)
  if char == 32 or char == 10 or char == 13 or char == 9 then
    pos = find(text, "[^ \t\r\n]", pos)
    char = pos and byte(text, pos)
  end
  if not char then
    bad("it ends too early", #text)
  end
  return pos, char
end

-- Position behind the string that begins at `pos`, and whether it has escapes.
local function string_end(text, pos)
  if byte(text, pos) ~= QUOTE then
    bad("a string was expected", pos)
  end
  local at, escaped = pos + 1, false
  while true do
    at = find(text, '["\\%z\1-\31\128-\255]', at)
    local char = at and byte(text, at)
    if char == QUOTE then
      return at + 1, escaped
    elseif char and char > 127 then
      local last = utf8.sequence_end(text, at) or bad("bytes that are no UTF-8", at)
      at = last + 1
    elseif char ~= BACKSLASH then
      bad("a string without end, or with a control character", pos)
    elseif find(text, '^["\\/bfnrt]', at + 1) then
      at, escaped = at + 2, true
    elseif find(text, "^u[dD][89abAB]%x%x\\u[dD][c-fC-F]%x%x", at + 1) then
      at, escaped = at + 12, true
    elseif find(text, "^u%x%x%x%x", at + 1) and not find(text, "^u[dD][89a-fA-F]", at + 1) then
      at, escaped = at + 6, true
    else
      bad("an escape that is none", at)
    end
  end
end

local function number_end(text, pos)
  local _, last = find(text, "^-?[1-9]%d*", pos)
  if not last then
    _, last = find(text, "^-?0", pos)
  end
  if not last then
    bad("a value was expected (NaN and Infinity are none)", pos)
  end
  local _, fraction = find(text, "^%.%d+", last + 1)
  last = fraction or last
  local _, exponent = find(text, "^[eE][+-]?%d+", last + 1)
  last = exponent or last
  if exponent or last - pos > LONG then
    -- LuaJIT reads no number at all where the exponent is far too large.
    local value = tonumber(sub(text, pos, last))
    if not value or math.abs(value) == math.huge then
      bad("a number too large for 64 bits", pos)
    end
  end
  return last + 1
end

-- Position behind a true, false, null, string or number.
local function scalar_end(text, pos, char)
  if char == QUOTE then
    return (string_end(text, pos))
  end
  local literal = LITERALS[char]
  if not literal then
    return number_end(text, pos)
  end
  if sub(text, pos, pos + #literal - 1) ~= literal then
    bad("a value was expected", pos)
  end
  return pos + #literal
end

-- Position behind the value at `pos`, nested no deeper than `depth`; how many scalars it holds, how many of these are
-- texts, and how many true, false, null or objects are in it. A loop, not a recursion.
local function value_end(text, pos, depth)
  local char
  pos, char = solid(text, pos)
  if char ~= OPEN_ARRAY and char ~= OPEN_OBJECT then
    return scalar_end(text, pos, char), 1, char == QUOTE and 1 or 0, LITERALS[char] and 1 or 0
  end
  local stack, level, scalars, texts, others = {}, 0, 0, 0, 0
  while true do
    pos, char = solid(text, pos)
    local opened = char == OPEN_ARRAY or char == OPEN_OBJECT
    if opened then
      level = level + 1
      if level > depth then
        refuse(400, "depth", "the JSON is nested deeper than " .. json.depth
          .. " levels; send tensors flat or in binary")
      end
      stack[level] = char
      others = others + (char == OPEN_OBJECT and 1 or 0)
      local after, inner = solid(text, pos + 1)
      if inner == char + 2 then
        pos, level, opened = after + 1, level - 1, false
      elseif char == OPEN_OBJECT then
        pos = json.key_end(text, after)
      else
        pos = after
      end
    else
      pos, scalars = scalar_end(text, pos, char), scalars + 1
      if char == QUOTE then
        texts = texts + 1
      elseif LITERALS[char] then
        others = others + 1
      end
    end
    while not opened do
      if level == 0 then
        return pos, scalars, texts, others
      end
      pos, char = solid(text, pos)
      if char == COMMA then
        pos = pos + 1
        if stack[level] == OPEN_OBJECT then
          pos = json.key_end(text, (solid(text, pos)))
        end
        opened = true
      elseif char == stack[level] + 2 then
        pos, level = pos + 1, level - 1
      else
        bad("a comma or the end of a list was expected", pos)
      end
    end
  end
end

-- Position behind `"key" :`; `pos` is at the quote.
function json.key_end(text, pos)
  local after, char = solid(text, (string_end(text, pos)))
  if char ~= COLON then
    bad("a colon was expected", after)
  end
  return after + 1
end

-- Calls `take(key, pos, ...)` for each member of the object at `pos`; `take` returns the position behind the value.
-- Keys come plainly written and once, or not at all: two readers may differ about escaped and repeated ones.
function json.object(text, pos, take, ...)
  local seen, char = {}, nil
  pos, char = solid(text, pos)
  if char ~= OPEN_OBJECT then
    bad("an object was expected", pos)
  end
  pos, char = solid(text, pos + 1)
  if char == CLOSE_OBJECT then
    return pos + 1
  end
  while true do
    local after, escaped = string_end(text, pos)
    if escaped then
      refuse(400, "escape", "a key of the JSON is written with escapes; write keys plainly")
    end
    local key = sub(text, pos + 1, after - 2)
    if seen[key] then
      refuse(400, "duplicate", "a key stands twice in one object of the JSON; name each once")
    end
    seen[key] = true
    after, char = solid(text, after)
    if char ~= COLON then
      bad("a colon was expected", after)
    end
    pos, char = solid(text, take(key, (solid(text, after + 1)), ...))
    if char == CLOSE_OBJECT then
      return pos + 1
    elseif char ~= COMMA then
      bad("a comma or the end of an object was expected", pos)
    end
    pos = solid(text, pos + 1)
  end
end

-- Calls `take(pos, ...)` for each element of the array at `pos`; returns the position behind it.
function json.array(text, pos, take, ...)
  local char
  pos, char = solid(text, pos)
  if char ~= OPEN_ARRAY then
    bad("a list was expected", pos)
  end
  pos, char = solid(text, pos + 1)
  if char == CLOSE_ARRAY then
    return pos + 1
  end
  while true do
    pos, char = solid(text, take(pos, ...))
    if char == CLOSE_ARRAY then
      return pos + 1
    elseif char ~= COMMA then
      bad("a comma or the end of a list was expected", pos)
    end
    pos = solid(text, pos + 1)
  end
end

-- Position behind the array of numbers and nested arrays at `pos`, and how many numbers; nil where it holds anything
-- else, is not valid, or has numbers that may be too large for a double.
function json.numbers_end(text, pos, depth)
  local level, commas, state, digits = 0, 0, VALUE, 0
  for at = pos, #text do
    local char = byte(text, at)
    state = numbers[state * 256 + char]
    if state == WHOLE or state == EXPONENT then
      digits = digits + 1
      if digits > LONG_EXPONENT and (state == EXPONENT or digits > LONG) then
        return nil
      end
    elseif not state then
      return nil
    else
      digits = 0
      if char == COMMA then
        commas = commas + 1
      elseif char == OPEN_ARRAY then
        level = level + 1
        if level > depth then
          return nil
        end
      elseif char == CLOSE_ARRAY then
        level = level - 1
        if level == 0 then
          -- No array in it is empty: the automaton takes none.
          return at + 1, commas + 1, 0, 0
        end
      end
    end
    if level == 0 then
      return nil
    end
  end
  return nil
end

-- The text of the plainly written string at `pos`, and the position behind it.
function json.plain(text, pos, what, most)
  local after, escaped = string_end(text, pos)
  if escaped or after - pos - 2 > most then
    refuse(400, "name", what .. " must be plain text of at most " .. most .. " bytes, without escapes")
  end
  return sub(text, pos + 1, after - 2), after
end

-- A text without its escapes.
function json.unescaped(text)
  if not find(text, "\\", 1, true) then
    return text
  end
  -- A control character, which no string of JSON has, stands for an escaped backslash meanwhile.
  text = text:gsub("\\\\", "\1"):gsub("\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", function(high, low)
    return utf8.encode(65536 + (tonumber(high, 16) - 0xD800) * 1024 + tonumber(low, 16) - 0xDC00)
  end)
  text = text:gsub("\\u(%x%x%x%x)", function(digits)
    return utf8.encode(tonumber(digits, 16))
  end)
  text = text:gsub("\\(.)", {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"})
  return (text:gsub("\1", "\\"))
end

-- Refuses what follows the document that ends before `pos`.
function json.check_end(text, pos)
  if find(text, "[^ \t\r\n]", pos) then
    bad("something follows its end", pos)
  end
end

json.depth = require("maas.settings").json_depth
json.value_end = value_end
json.bad = bad

return json
