-- UTF-8. Source: RFC 3629, sections 3 and 4.
local utf8 = {}
local char, find, floor = string.char, string.find, math.floor

-- What may stand for one character beyond ASCII.
local SEQUENCES = {
  "^[\194-\223][\128-\191]",
  "^[\225-\236\238\239][\128-\191][\128-\191]",
  "^\224[\160-\191][\128-\191]",
  "^\237[\128-\159][\128-\191]",
  "^[\241-\243][\128-\191][\128-\191][\128-\191]",
  "^\240[\144-\191][\128-\191][\128-\191]",
  "^\244[\128-\143][\128-\191][\128-\191]",
}

-- The last byte of the character beyond ASCII that begins at `pos`, nil where there is none.
function utf8.sequence_end(text, pos)
  for index = 1, #SEQUENCES do
    local _, last = find(text, SEQUENCES[index], pos)
    if last then
      return last
    end
  end
end

-- Whether `text` is UTF-8.
function utf8.is_valid(text)
  local pos = find(text, "[\128-\255]")
  while pos do
    local last = utf8.sequence_end(text, pos)
    if not last then
      return false
    end
    pos = find(text, "[\128-\255]", last + 1)
  end
  return true
end

-- The bytes of a code point.
function utf8.encode(code)
  if code < 128 then
    return char(code)
  elseif code < 2048 then
    return char(192 + floor(code / 64), 128 + code % 64)
  elseif code < 65536 then
    return char(224 + floor(code / 4096), 128 + floor(code / 64) % 64, 128 + code % 64)
  end
  return char(240 + floor(code / 262144), 128 + floor(code / 4096) % 64, 128 + floor(code / 64) % 64, 128 + code % 64)
end

return utf8
