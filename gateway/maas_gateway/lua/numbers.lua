-- The automaton that reads nested arrays of numbers byte by byte: most of what JSON holds here, and the largest part.
-- numbers[state * 256 + byte] is the next state, false where the text is not valid. Who walks it counts the brackets.
-- Source: RFC 8259, section 6.
local VALUE, MINUS, ZERO, WHOLE, POINT, FRACTION, E, SIGN, EXPONENT, AFTER = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

local numbers = {VALUE = VALUE, WHOLE = WHOLE, EXPONENT = EXPONENT}

-- Filled without a gap, so that it is an array and not a hash table.
for index = 1, AFTER * 256 + 255 do
  numbers[index] = false
end

local function to(state, chars, target)
  for index = 1, #chars do
    numbers[state * 256 + chars:byte(index)] = target
  end
end

local BLANK = " \t\r\n"

to(VALUE, BLANK .. "[", VALUE)
to(VALUE, "-", MINUS)
for _, state in ipairs({VALUE, MINUS}) do
  to(state, "0", ZERO)
  to(state, "123456789", WHOLE)
end
for _, state in ipairs({ZERO, WHOLE, FRACTION, EXPONENT, AFTER}) do
  to(state, BLANK .. "]", AFTER)
  to(state, ",", VALUE)
end
for _, state in ipairs({ZERO, WHOLE}) do
  to(state, ".", POINT)
  to(state, "eE", E)
end
to(WHOLE, "0123456789", WHOLE)
for _, state in ipairs({POINT, FRACTION}) do
  to(state, "0123456789", FRACTION)
end
to(FRACTION, "eE", E)
to(E, "+-", SIGN)
for _, state in ipairs({E, SIGN, EXPONENT}) do
  to(state, "0123456789", EXPONENT)
end

return numbers
