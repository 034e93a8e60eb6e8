-- The JSON of an inference request over HTTP, with or without binary tensors behind it.
-- Source: KServe v2 HTTP/REST, Triton's extensions "binary tensor data", "sequence" and "schedule policy".
local json = require("maas.json")
local refuse = require("maas.refusal").refuse
local settings = require("maas.settings")
local tensor = require("maas.tensor")

local infer_json = {}
local byte, find, sub = string.byte, string.find, string.sub

local NAME_BYTES = 256

-- What was read so far of the request being read. One table for all: nothing yields between its start and its end.
local read = {}

local function integer(text, pos, what)
  local _, last, digits = find(text, "^(%d+)", pos)
  if not last or #digits > 15 or (#digits > 1 and byte(digits) == 48) or find(text, "^[.eE]", last + 1) then
    refuse(400, "number", what .. " must be a whole number, not negative")
  end
  return tonumber(digits), last + 1
end

local function dim(pos, text)
  local value
  value, pos = integer(text, pos, "each dim of a shape")
  read.rank = read.rank + 1
  read.elements = tensor.grow(read.elements, value, read.rank)
  read.first_dim = read.first_dim or value
  return pos
end

local function tensor_parameter(name, pos, text)
  tensor.check_no_region(name)
  if name == "binary_data_size" then
    read.binary, pos = integer(text, pos, "binary_data_size")
    return pos
  end
  return json.value_end(text, pos, 1)
end

-- Reads the data at `pos`: how many elements they are, nested as the shape or flat, and of what kind.
local function data(text, pos)
  local after
  after, read.data, read.texts, read.others = json.numbers_end(text, pos, settings.json_depth)
  if not after then
    after, read.data, read.texts, read.others = json.value_end(text, pos, settings.json_depth)
  end
  return after
end

-- Refuses data of another number than the shape's or another kind than the datatype's. Triton reserves the memory of
-- the shape before it reads the data, and answers 500 where their kind is wrong.
local function check_data()
  if read.elements ~= read.data then
    refuse(400, "size", "the data of an input are " .. read.data .. " elements, but its shape says " .. read.elements)
  end
  local texts = read.datatype == "BYTES" and read.data or 0
  if read.texts ~= texts or read.others > 0 and read.datatype ~= "BOOL" then
    refuse(400, "data", "the data of an input are not of its datatype")
  end
end

local function input_member(key, pos, text)
  if key == "name" then
    read.name, pos = json.plain(text, pos, "the name of an input", NAME_BYTES)
  elseif key == "datatype" then
    read.datatype, pos = json.plain(text, pos, "a datatype", NAME_BYTES)
  elseif key == "shape" then
    read.shaped = true
    pos = json.array(text, pos, dim, text)
  elseif key == "parameters" then
    pos = json.object(text, pos, tensor_parameter, text)
  elseif key == "data" then
    pos = data(text, pos)
  else
    pos = json.value_end(text, pos, settings.json_depth)
  end
  return pos
end

local function input(pos, text)
  read.name, read.datatype, read.shaped, read.binary, read.data = nil, nil, false, nil, nil
  read.elements, read.rank = 1, 0
  pos = json.object(text, pos, input_member, text)
  read.inputs = read.inputs + 1
  tensor.check_name(read.input_names, read.inputs, read.name, "inputs")
  local size = tensor.element_bytes(read.datatype)
  if not read.shaped then
    refuse(400, "shape", "an input has no shape")
  end
  if read.binary and read.data then
    refuse(400, "data", "an input has data and binary_data_size; send one of them")
  elseif read.binary then
    tensor.check_bytes(read.elements, size, read.binary)
    read.binary_bytes = read.binary_bytes + read.binary
  elseif not read.data then
    refuse(400, "data", "an input has neither data nor binary_data_size")
  else
    check_data()
  end
  return pos
end

local function output_member(key, pos, text)
  if key == "name" then
    read.name, pos = json.plain(text, pos, "the name of an output", NAME_BYTES)
    return pos
  elseif key == "parameters" then
    return json.object(text, pos, tensor_parameter, text)
  end
  return json.value_end(text, pos, settings.json_depth)
end

local function output(pos, text)
  read.name = nil
  pos = json.object(text, pos, output_member, text)
  read.outputs = read.outputs + 1
  tensor.check_name(read.output_names, read.outputs, read.name, "outputs")
  return pos
end

local STARTS = {[34] = "string", [116] = "boolean", [102] = "boolean", [110] = "null"}

local function parameter(name, pos, text)
  local after = json.value_end(text, pos, 1)
  local kind = STARTS[byte(text, pos)]
  local value = sub(text, pos, after - 1)
  if not kind then
    kind = find(value, "^%d+$") and "integer" or find(value, "^[%[{]") and "null" or "double"
  elseif kind == "string" then
    value = json.unescaped(sub(value, 2, -2))
  end
  tensor.check_parameter(name, kind, #value)
  if name == "sequence_id" then
    read.sequence = value
  elseif name == "sequence_start" then
    read.start = value == "true"
  end
  return after
end

local function member(key, pos, text)
  if key == "inputs" then
    return json.array(text, pos, input, text)
  elseif key == "outputs" then
    return json.array(text, pos, output, text)
  elseif key == "parameters" then
    return json.object(text, pos, parameter, text)
  elseif key == "id" and byte(text, pos) ~= 34 then
    refuse(400, "id", "the id of a request must be a text")
  end
  return json.value_end(text, pos, settings.json_depth)
end

-- Checks the JSON of a request with `binary_bytes` bytes behind it.
-- Returns the first dim of the first input (1 without one), the correlation id or nil, and whether a sequence starts.
function infer_json.check(text, binary_bytes)
  read = {inputs = 0, outputs = 0, binary_bytes = 0, input_names = {}, output_names = {}}
  json.check_end(text, json.object(text, 1, member, text))
  if read.inputs == 0 then
    refuse(400, "inputs", "the request has no inputs")
  end
  if read.binary_bytes ~= binary_bytes then
    refuse(400, "size", "the binary_data_size of the inputs add up to " .. read.binary_bytes .. " bytes, but "
      .. binary_bytes .. " follow the JSON")
  end
  return read.first_dim or 1, read.sequence and tensor.header_of_sequence(read.sequence), read.start
end

-- In the JSON of `generate`, inputs and parameters of the request stand side by side.
local function generate_member(key, pos, text)
  if key == "parameters" and byte(text, pos) == 123 then
    return json.object(text, pos, parameter, text)
  elseif tensor.is_reserved(key) then
    return parameter(key, pos, text)
  end
  return (json.value_end(text, pos, settings.json_depth))
end

-- Checks the JSON of `generate`. Returns the correlation id or nil, and whether a sequence starts.
function infer_json.check_generate(text)
  read = {}
  json.check_end(text, json.object(text, 1, generate_member, text))
  return read.sequence and tensor.header_of_sequence(read.sequence), read.start
end

return infer_json
