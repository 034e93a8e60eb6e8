-- What both protocols ask of a tensor: names, datatypes, shapes that fit into what was sent, known parameters.
local refuse = require("maas.refusal").refuse
local settings = require("maas.settings")

local tensor = {}

-- Bytes per element; 0 where elements differ in length. Source: KServe v2, "Tensor Data Types", and Triton's BF16.
local SIZES = {
  BOOL = 1, UINT8 = 1, INT8 = 1, UINT16 = 2, INT16 = 2, FP16 = 2, BF16 = 2, UINT32 = 4, INT32 = 4, FP32 = 4,
  UINT64 = 8, INT64 = 8, FP64 = 8, BYTES = 0,
}
local KINDS = {
  sequence_id = "id", sequence_start = "boolean", sequence_end = "boolean", priority = "integer", timeout = "integer",
  binary_data_output = "boolean", triton_enable_empty_final_response = "boolean",
}
local WORDS = {id = "an integer or a text of at most 128 bytes", boolean = "true or false", integer = "a whole number"}

-- Bytes per element of a datatype.
function tensor.element_bytes(datatype)
  local size = SIZES[datatype]
  if not size then
    refuse(400, "datatype", "an input has no datatype that is known: BOOL, INT8 to INT64, UINT8 to UINT64, FP16, BF16, "
      .. "FP32, FP64 or BYTES")
  end
  return size
end

-- The number of elements after one more dim. `elements` is a double: exact far above the largest that is let through.
function tensor.grow(elements, dim, rank)
  if not (dim >= 1 and dim <= settings.body_bytes) then
    refuse(400, "shape", "a shape has a dim that is not between 1 and " .. settings.body_bytes)
  end
  if rank > settings.rank then
    refuse(400, "shape", "a shape has more than " .. settings.rank .. " dims")
  end
  elements = elements * dim
  if elements > settings.body_bytes then
    refuse(400, "shape", "a shape has more than " .. settings.body_bytes .. " elements")
  end
  return elements
end

-- Refuses a tensor whose bytes cannot be those of its shape.
function tensor.check_bytes(elements, size, bytes)
  if size == 0 and elements * 4 > bytes or size > 0 and elements * size ~= bytes then
    refuse(400, "size", "the bytes of an input are not those that its shape and datatype need")
  end
end

-- Whether Triton itself gives a parameter of that name a meaning.
function tensor.is_reserved(name)
  return KINDS[name] ~= nil or name:find("^triton_") ~= nil
end

-- Refuses a parameter of a request that is reserved, unknown to Triton's own or of another type.
-- `kind` is one of integer, boolean, string, double, null; `bytes` the length of its text.
function tensor.check_parameter(name, kind, bytes)
  local wanted = KINDS[name]
  if not wanted then
    if name:find("^triton_") then
      refuse(400, "parameter", "parameters whose names begin with triton_ are reserved")
    elseif kind == "null" or kind == "string" and bytes > 4096 then
      refuse(400, "parameter", "a parameter must be a text of at most 4096 bytes, a number, true or false")
    end
    return
  end
  local fits = kind == wanted or wanted == "id" and (kind == "integer" or kind == "string" and bytes <= 128)
  if not fits or wanted == "integer" and bytes > 15 or wanted == "id" and kind == "integer" and bytes > 20 then
    refuse(400, "parameter", "the parameter " .. name .. " must be " .. WORDS[wanted])
  end
end

-- Refuses a parameter of an input or output that reaches into shared memory.
function tensor.check_no_region(name)
  if name:find("^shared_memory") then
    refuse(403, "shared_memory", "shared memory is closed at the gateway; send tensors in the request")
  end
end

-- Refuses one more tensor than are let through, and a name that is empty or came before.
function tensor.check_name(seen, count, name, what)
  if count > settings.tensors then
    refuse(400, "tensors", "a request may name at most " .. settings.tensors .. " " .. what)
  end
  if not name or name == "" then
    refuse(400, "name", "one of the " .. what .. " has no name")
  end
  if seen[name] then
    refuse(400, "duplicate", "one of the " .. what .. " stands there twice")
  end
  seen[name] = true
end

-- A correlation id as a header may carry it, nil for the ids that mean "no sequence".
function tensor.header_of_sequence(id)
  if id == "" or id == "0" then
    return nil
  end
  return (id:gsub("[^%w%-_.:]", function(char) return string.format("%%%02X", char:byte()) end))
end

return tensor
