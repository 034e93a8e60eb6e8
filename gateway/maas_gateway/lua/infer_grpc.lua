-- The message of an inference request over gRPC. Source: KServe v2 and Triton, grpc_service.proto.
local protobuf = require("maas.protobuf")
local refuse = require("maas.refusal").refuse
local tensor = require("maas.tensor")

local infer_grpc = {}
local field, text_of, varint, bad = protobuf.field, protobuf.text, protobuf.varint, protobuf.bad

local PREFIX_BYTES = 5
local SMALL_BYTES = 1024
local NAME_BYTES = 256
local ID_BYTES = 4096
local PARAMETER_BYTES = 4096

-- What was read so far of the request being read (see infer_json.lua).
local read = {}

-- The name of one entry of a `map<string, InferParameter>`, and its value: kind, position, position behind it.
local function parameter(first, last)
  local name, kind, from, to
  local pos = first
  while pos < last do
    local number, wire, value, after = field(pos, last)
    if number == 1 and wire == 2 then
      name = text_of(value, after, NAME_BYTES, "the name of a parameter")
    elseif number == 2 and wire == 2 then
      local at = value
      while at < after do
        local choice, form, content, behind = field(at, after)
        if choice == 1 and form == 0 then
          kind, from, to = "boolean", content, content
        elseif (choice == 2 or choice == 5) and form == 0 then
          kind, from, to = "integer", at + 1, behind
        elseif choice == 3 and form == 2 then
          kind, from, to = "string", content, behind
        elseif choice == 4 and form == 1 then
          kind, from, to = "double", content, behind
        end
        at = behind
      end
    end
    pos = after
  end
  return name or "", kind or "null", from or 0, to or 0
end

local function request_parameter(first, last)
  local name, kind, from, to = parameter(first, last)
  if kind == "integer" then
    local value = protobuf.digits(from, to)
    tensor.check_parameter(name, kind, #value)
    if name == "sequence_id" then
      read.sequence = value
    end
    return
  end
  tensor.check_parameter(name, kind, to - from)
  local value = kind == "string" and text_of(from, to, PARAMETER_BYTES, "a parameter")
  if name == "sequence_id" then
    read.sequence = value
  elseif name == "sequence_start" then
    read.start = from ~= 0
  end
end

local function dims(first, last)
  local pos = first
  while pos < last do
    local value
    value, pos = varint(pos, last)
    read.rank = read.rank + 1
    read.elements = tensor.grow(read.elements, value, read.rank)
    read.first_dim = read.first_dim or value
  end
end

-- Size of the elements of packed contents by field; 1 where they are varints.
-- Source: InferTensorContents in grpc_service.proto.
local PACKED = {1, 1, 1, 1, 1, 4, 8}

-- The bytes of typed contents. They are read field by field only to see that they are well formed; what they hold is
-- told by their length closely enough.
local function contents(first, last)
  local pos = first
  while pos < last do
    local number, wire, value, after = field(pos, last)
    local size = wire == 2 and PACKED[number]
    if size and ((after - value) % size > 0 or size == 1 and after > value and protobuf.byte(after - 1) > 127) then
      bad()
    end
    pos = after
  end
  return last - first
end

local function input(first, last)
  local name, datatype, content_bytes, pos = nil, nil, nil, first
  read.elements, read.rank = 1, 0
  while pos < last do
    local number, wire, value, after = field(pos, last)
    if number == 1 and wire == 2 then
      name = text_of(value, after, NAME_BYTES, "the name of an input")
    elseif number == 2 and wire == 2 then
      datatype = text_of(value, after, NAME_BYTES, "a datatype")
    elseif number == 3 and wire == 2 then
      dims(value, after)
    elseif number == 3 and wire == 0 then
      read.rank = read.rank + 1
      read.elements = tensor.grow(read.elements, value, read.rank)
      read.first_dim = read.first_dim or value
    elseif number == 4 and wire == 2 then
      tensor.check_no_region((parameter(value, after)))
    elseif number == 5 and wire == 2 then
      content_bytes = (content_bytes or 0) + contents(value, after)
    elseif number <= 5 then
      bad()
    end
    pos = after
  end
  local count = #read.sizes + 1
  tensor.check_name(read.input_names, count, name, "inputs")
  read.sizes[count] = tensor.element_bytes(datatype)
  read.counts[count] = read.elements
  if content_bytes then
    read.typed = read.typed + 1
    -- An element needs a byte at least, one of BYTES its length too.
    if read.elements > content_bytes then
      refuse(400, "size", "the contents of an input are fewer than its shape says")
    end
  end
end

local function output(first, last)
  local name, pos = nil, first
  while pos < last do
    local number, wire, value, after = field(pos, last)
    if number == 1 and wire == 2 then
      name = text_of(value, after, NAME_BYTES, "the name of an output")
    elseif number == 2 and wire == 2 then
      tensor.check_no_region((parameter(value, after)))
    end
    pos = after
  end
  read.outputs = read.outputs + 1
  tensor.check_name(read.output_names, read.outputs, name, "outputs")
end

-- Refuses raw contents beside typed ones, more or fewer than there are inputs, or of another size than the shape's.
local function check_contents()
  local inputs, raw = #read.sizes, #read.raw
  if inputs == 0 then
    refuse(400, "inputs", "the request has no inputs")
  elseif raw > 0 and read.typed > 0 then
    refuse(400, "contents", "the request has raw_input_contents and contents; send one of them")
  elseif raw + read.typed ~= inputs then
    refuse(400, "contents", "the request has " .. inputs .. " inputs, but contents of " .. raw + read.typed)
  end
  for index = 1, raw do
    tensor.check_bytes(read.counts[index], read.sizes[index], read.raw[index])
  end
end

-- The bytes of the one message in `body`: position of the first, position behind the last.
local function message(body)
  local size = protobuf.open(body)
  local flag, length = nil, nil
  if size >= PREFIX_BYTES then
    local a, b, c, d
    flag, a, b, c, d = protobuf.bytes(0, PREFIX_BYTES, PREFIX_BYTES, ""):byte(1, PREFIX_BYTES)
    length = ((a * 256 + b) * 256 + c) * 256 + d
  end
  if flag == 1 then
    refuse(415, "compressed", "compressed messages are not taken; send without compression")
  elseif flag ~= 0 or length ~= size - PREFIX_BYTES then
    bad()
  end
  return PREFIX_BYTES, size
end

-- Checks a ModelInferRequest. Returns model, version, first dim of the first input, correlation id or nil, whether a
-- sequence starts.
function infer_grpc.check(body)
  read = {outputs = 0, typed = 0, sizes = {}, counts = {}, raw = {}, input_names = {}, output_names = {}}
  local model, version = "", ""
  local pos, last = message(body)
  while pos < last do
    local number, wire, value, after = field(pos, last)
    if number <= 7 and wire ~= 2 then
      bad()
    elseif number == 1 then
      model = text_of(value, after, NAME_BYTES, "the name of a model")
    elseif number == 2 then
      version = text_of(value, after, NAME_BYTES, "a version")
    elseif number == 3 then
      text_of(value, after, ID_BYTES, "the id of the request")
    elseif number == 4 then
      request_parameter(value, after)
    elseif number == 5 then
      input(value, after)
    elseif number == 6 then
      output(value, after)
    elseif number == 7 then
      read.raw[#read.raw + 1] = after - value
    end
    pos = after
  end
  check_contents()
  protobuf.close()
  return model, version, read.first_dim or 1, read.sequence and tensor.header_of_sequence(read.sequence), read.start
end

-- Model and version of a request for metadata, configuration or readiness, which all have them as fields 1 and 2.
function infer_grpc.check_small(body)
  local model, version = "", ""
  local pos, last = message(body)
  if last > SMALL_BYTES then
    refuse(413, "size", "a request without tensors is that large; send less")
  end
  while pos < last do
    local number, wire, value, after = field(pos, last)
    if number == 1 and wire == 2 then
      model = text_of(value, after, NAME_BYTES, "the name of a model")
    elseif number == 2 and wire == 2 then
      version = text_of(value, after, NAME_BYTES, "a version")
    end
    pos = after
  end
  protobuf.close()
  return model, version
end

return infer_grpc
