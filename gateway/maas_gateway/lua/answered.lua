-- Which version answered an inference: the first bytes of the answer say it, and only these are looked at.
local answered = {}

local SEEN_BYTES = 512
-- The name of a model in a gRPC answer: the frame (5 bytes), then field 1 (model_name) with its length.
local NAME_AT = 6

local function in_grpc(text)
  local tag, length = text:byte(NAME_AT, NAME_AT + 1)
  if tag ~= 0x0a or not length or length > 127 then
    return nil
  end
  local at = NAME_AT + 2 + length
  local next_tag, digits = text:byte(at, at + 1)
  if next_tag == 0x12 and digits < 20 then
    return text:sub(at + 2, at + 1 + digits):match("^%d+$")
  end
end

-- Of all answers over HTTP only an inference's has this; in a text within JSON the quotes would be escaped.
local function in_json(text)
  return text:match('"model_version" ?: ?"(%d+)"')
end

-- Over gRPC the answer to a metadata call begins likewise.
local function was_inference(handle)
  local ours = handle:streamInfo():dynamicMetadata():get("maas")
  return ours and ours.infers
end

-- Leaves the version for the metering line, as dynamic metadata `maas: {answered: "3"}`; nothing where it is not found.
function answered.on_response(handle)
  for chunk in handle:bodyChunks() do
    local size = chunk:length()
    if size > 0 then
      local text = chunk:getBytes(0, size < SEEN_BYTES and size or SEEN_BYTES)
      local version
      if text:byte(1) ~= 0 then
        version = in_json(text)
      elseif was_inference(handle) then
        version = in_grpc(text)
      end
      if version then
        handle:streamInfo():dynamicMetadata():set("maas", "answered", version)
      end
      return
    end
  end
end

return answered
